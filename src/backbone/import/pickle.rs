//! Weights in the file format that `torch.save` wrote before 1.6: pickles, then the raw storages.
//!
//! A pickle is a program for a stack machine, and Python's runs whatever function it names. This reader is that machine
//! with nothing to call: the few names that a state dict needs are tokens with a fixed meaning, any other name is an
//! error. Values are `Copy` and containers live in one arena, so neither reading nor dropping recurses, and no program
//! can make more values than it has bytes.
//!
//! The file: a magic number, the protocol version, a description of the writing machine, the state dict, the list of
//! storage keys (five pickles); then each storage as a count of elements in eight bytes and the elements.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::weights::{Element, MAX_DIMENSIONS, Tensor};
use crate::error::{Error, Result};

/// The first two pickles, which are the same in every file: `0x1950a86a20f9469cfc6c` and `1001`.
const HEADER: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";

/// Reads the named tensors of a state dict, in the file's order. `origin` is named in errors.
///
/// # Errors
/// When the file is not of this format, is cut short, names anything but float and long tensors in an ordered
/// dictionary, or has a tensor that lies outside its storage.
pub(super) fn read<'a>(bytes: &'a [u8], origin: &Path) -> Result<Vec<(String, Tensor<'a>)>> {
    let mut reader = Reader { bytes, at: 0 };
    read_all(&mut reader)
        .map_err(|reason| Error::malformed(origin, format!("{reason} (torch pickle, byte {})", reader.at)))
}

type Parsed<T> = std::result::Result<T, String>;

fn read_all<'a>(reader: &mut Reader<'a>) -> Parsed<Vec<(String, Tensor<'a>)>> {
    if !reader.bytes.starts_with(HEADER) {
        return Err("it does not begin as a file of torch.save's older format does".to_owned());
    }
    reader.at = HEADER.len();

    let mut system = Machine::default();
    let description = system.run(reader)?;
    let little = system.entries(description)?.contains(&(Value::Text("little_endian"), Value::Bool(true)));
    if !little {
        return Err("it was not written by a little-endian machine".to_owned());
    }

    let mut machine = Machine::default();
    let state = machine.run(reader)?;
    let mut keys = Machine::default();
    let order = keys.run(reader)?;
    let contents = storages(reader, &machine, keys.items(order)?)?;

    let mut seen = HashSet::new();
    machine.entries(state)?.into_iter().map(|entry| named_tensor(entry, &machine, &contents, &mut seen)).collect()
}

/// The bytes of each storage, in the order of `machine.storages`.
fn storages<'a>(reader: &mut Reader<'a>, machine: &Machine, order: &[Value]) -> Parsed<Vec<&'a [u8]>> {
    let mut contents: Vec<Option<&[u8]>> = vec![None; machine.storages.len()];
    for key in order {
        let position = match key {
            Value::Text(key) => machine.keys.get(key).copied(),
            _ => None,
        };
        let position = position.ok_or("the list of storages names one that no tensor uses")?;
        let storage = machine.storages.get(position).ok_or("a lost storage")?;
        let content = contents.get_mut(position).ok_or("a lost storage")?;
        let count = u64::from_le_bytes(reader.array()?);
        if count != storage.count as u64 || content.is_some() {
            return Err(format!("storage {} should occur once with {} elements", storage.key, storage.count));
        }
        let length = storage.count.checked_mul(storage.element.size()).ok_or("a storage beyond all memory")?;
        *content = Some(reader.take(length)?);
    }
    if reader.at != reader.bytes.len() {
        return Err("something follows the last storage".to_owned());
    }
    contents.into_iter().collect::<Option<_>>().ok_or_else(|| "a storage has no content".to_owned())
}

fn named_tensor<'a>(
    (name, value): (Value, Value),
    machine: &Machine,
    contents: &[&'a [u8]],
    seen: &mut HashSet<String>,
) -> Parsed<(String, Tensor<'a>)> {
    let Value::Text(name) = name else { return Err("a key of the state dict is not text".to_owned()) };
    if !seen.insert(name.to_owned()) {
        return Err(format!("{name} occurs twice"));
    }
    let Value::Tensor(view) = value else { return Err(format!("{name} is not a tensor")) };
    let view = machine.views.get(view).ok_or("a lost tensor")?;
    let storage = machine.storages.get(view.storage).ok_or("a lost storage")?;
    let content = contents.get(view.storage).ok_or("a lost storage")?;
    let tensor = Tensor::strided(view.shape.clone(), view.strides.clone(), view.offset, storage.element, content)
        .map_err(|reason| format!("tensor {name}: {reason}"))?;
    Ok((name.to_owned(), tensor))
}

/// A position in the file.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Parsed<&'a [u8]> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or("the file ends too early")?;
        let taken = self.bytes.get(self.at..end).unwrap_or_default();
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| "the file ends too early".to_owned())
    }

    fn byte(&mut self) -> Parsed<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn index(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn text(&mut self, length: usize) -> Parsed<&'a str> {
        std::str::from_utf8(self.take(length)?).map_err(|_| "a text that is not UTF-8".to_owned())
    }

    fn line(&mut self) -> Parsed<&'a str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&b| b == b'\n').ok_or("the file ends too early")?;
        let line = self.text(length)?;
        self.at += 1;
        Ok(line)
    }
}

/// A value of the machine. Numbers behind a kind are positions in the machine's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    /// Container: keys and values in turn.
    Dict(usize),
    /// Container.
    List(usize),
    /// Container.
    Tuple(usize),
    Global(Global),
    Storage(usize),
    Tensor(usize),
}

/// The names that a state dict needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    Storage(Element),
}

#[derive(Debug)]
struct Storage<'a> {
    key: &'a str,
    element: Element,
    count: usize,
}

/// What `_rebuild_tensor_v2` is told.
#[derive(Debug)]
struct View {
    storage: usize,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

#[derive(Debug, Default)]
struct Machine<'a> {
    stack: Vec<Value<'a>>,
    /// Heights of the stack at each open mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    containers: Vec<Vec<Value<'a>>>,
    storages: Vec<Storage<'a>>,
    /// Position in `storages` of each key.
    keys: HashMap<&'a str, usize>,
    views: Vec<View>,
}

impl<'a> Machine<'a> {
    /// Runs one pickle and gives its result. The opcodes are those that Python 3 writes at protocol 2.
    fn run(&mut self, reader: &mut Reader<'a>) -> Parsed<Value<'a>> {
        if reader.array()? != *b"\x80\x02" {
            return Err("not a pickle of protocol 2".to_owned());
        }
        loop {
            let value = match reader.byte()? {
                b'.' => return self.pop(),
                b'(' => {
                    self.marks.push(self.stack.len());
                    continue;
                }
                b'q' => {
                    self.memo.insert(reader.byte()?.into(), self.top()?);
                    continue;
                }
                b'r' => {
                    self.memo.insert(reader.index()?, self.top()?);
                    continue;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.extend(&[key, value])?;
                    continue;
                }
                b'u' | b'e' => {
                    let items = self.pop_mark()?;
                    self.extend(&items)?;
                    continue;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.extend(&[item])?;
                    continue;
                }
                b'b' => {
                    // The attributes of a dictionary (`_metadata`) say nothing of its entries.
                    match (self.pop()?, self.top()?) {
                        (Value::Dict(_), Value::Dict(_)) => continue,
                        other => return Err(format!("attributes for {other:?}")),
                    }
                }
                b'h' => self.recall(reader.byte()?.into())?,
                b'j' => {
                    let index = reader.index()?;
                    self.recall(index)?
                }
                b'N' => Value::None,
                0x88 => Value::Bool(true),
                0x89 => Value::Bool(false),
                b'K' => Value::Int(reader.byte()?.into()),
                b'M' => Value::Int(u16::from_le_bytes(reader.array()?).into()),
                b'J' => Value::Int(i32::from_le_bytes(reader.array()?).into()),
                0x8a => long(reader)?,
                b'X' => {
                    let length = reader.index()?;
                    Value::Text(reader.text(length as usize)?)
                }
                b')' => Value::Tuple(self.contain(Vec::new())),
                b'}' => Value::Dict(self.contain(Vec::new())),
                b']' => Value::List(self.contain(Vec::new())),
                b't' => {
                    let items = self.pop_mark()?;
                    Value::Tuple(self.contain(items))
                }
                code @ 0x85..=0x87 => {
                    let mut items = (0x85..=code).map(|_| self.pop()).collect::<Parsed<Vec<_>>>()?;
                    items.reverse();
                    Value::Tuple(self.contain(items))
                }
                b'c' => Value::Global(global(reader.line()?, reader.line()?)?),
                b'Q' => {
                    let id = self.pop()?;
                    self.storage(id)?
                }
                b'R' => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    self.call(function, arguments)?
                }
                code => return Err(format!("opcode {code:#04x} has no place in a state dict")),
            };
            self.stack.push(value);
        }
    }

    fn pop(&mut self) -> Parsed<Value<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("a value is missing".to_owned());
        }
        self.stack.pop().ok_or_else(|| "a value is missing".to_owned())
    }

    fn top(&self) -> Parsed<Value<'a>> {
        self.stack.last().copied().ok_or_else(|| "a value is missing".to_owned())
    }

    fn pop_mark(&mut self) -> Parsed<Vec<Value<'a>>> {
        let height = self.marks.pop().filter(|&h| h <= self.stack.len()).ok_or("a mark is missing")?;
        Ok(self.stack.split_off(height))
    }

    fn recall(&self, index: u32) -> Parsed<Value<'a>> {
        self.memo.get(&index).copied().ok_or_else(|| format!("memo {index} is empty"))
    }

    fn contain(&mut self, items: Vec<Value<'a>>) -> usize {
        self.containers.push(items);
        self.containers.len() - 1
    }

    /// Appends to the list or dictionary on top of the stack.
    fn extend(&mut self, items: &[Value<'a>]) -> Parsed<()> {
        let id = match self.top()? {
            Value::Dict(id) if items.len().is_multiple_of(2) => id,
            Value::List(id) => id,
            other => return Err(format!("{} items for {other:?}", items.len())),
        };
        self.containers.get_mut(id).ok_or("a lost container")?.extend_from_slice(items);
        Ok(())
    }

    fn items(&self, value: Value<'a>) -> Parsed<&[Value<'a>]> {
        match value {
            Value::List(id) | Value::Tuple(id) => Ok(self.containers.get(id).ok_or("a lost container")?),
            other => Err(format!("{other:?} where a list or tuple should be")),
        }
    }

    fn entries(&self, value: Value<'a>) -> Parsed<Vec<(Value<'a>, Value<'a>)>> {
        match value {
            Value::Dict(id) => {
                let flat = self.containers.get(id).ok_or("a lost container")?;
                Ok(flat.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
            }
            other => Err(format!("{other:?} where a dictionary should be")),
        }
    }

    fn sizes(&self, value: Value<'a>) -> Parsed<Vec<usize>> {
        match self.items(value)? {
            items if items.len() <= MAX_DIMENSIONS => items.iter().map(|item| size(*item)).collect(),
            items => Err(format!("a tensor of {} dimensions", items.len())),
        }
    }

    /// The meaning of a persistent id: `("storage", type, key, device, elements, view)`.
    fn storage(&mut self, id: Value<'a>) -> Parsed<Value<'a>> {
        let &[
            Value::Text("storage"),
            Value::Global(Global::Storage(element)),
            Value::Text(key),
            Value::Text(_),
            count,
            Value::None,
        ] = self.items(id)?
        else {
            return Err("a persistent id that names no whole storage".to_owned());
        };
        let count = size(count)?;
        let position = *self.keys.entry(key).or_insert(self.storages.len());
        if position == self.storages.len() {
            self.storages.push(Storage { key, element, count });
        }
        match self.storages.get(position) {
            Some(s) if s.element == element && s.count == count => Ok(Value::Storage(position)),
            _ => Err(format!("storage {key} is declared in two ways")),
        }
    }

    fn call(&mut self, function: Value<'a>, arguments: Value<'a>) -> Parsed<Value<'a>> {
        match (function, self.items(arguments)?) {
            (Value::Global(Global::OrderedDict), []) => Ok(Value::Dict(self.contain(Vec::new()))),
            // The last two are requires_grad and hooks.
            (Value::Global(Global::RebuildTensor), &[Value::Storage(storage), offset, shape, strides, _, _]) => {
                let view =
                    View { storage, offset: size(offset)?, shape: self.sizes(shape)?, strides: self.sizes(strides)? };
                self.views.push(view);
                Ok(Value::Tensor(self.views.len() - 1))
            }
            (function, arguments) => Err(format!("a call of {function:?} with {} arguments", arguments.len())),
        }
    }
}

fn global(module: &str, name: &str) -> Parsed<Global> {
    match (module, name) {
        ("collections", "OrderedDict") => Ok(Global::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2") => Ok(Global::RebuildTensor),
        ("torch", "FloatStorage") => Ok(Global::Storage(Element::F32)),
        ("torch", "HalfStorage") => Ok(Global::Storage(Element::F16)),
        ("torch", "BFloat16Storage") => Ok(Global::Storage(Element::Bf16)),
        ("torch", "LongStorage") => Ok(Global::Storage(Element::I64)),
        _ => Err(format!("it names {module}.{name}, which plain weights do not need; nothing was run")),
    }
}

/// A number in up to eight bytes, two's complement.
fn long<'a>(reader: &mut Reader<'a>) -> Parsed<Value<'a>> {
    let length = usize::from(reader.byte()?);
    let digits = reader.take(length)?;
    let sign = if digits.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    let mut wide = [sign; 8];
    wide.get_mut(..length).ok_or("a number beyond 64 bits")?.copy_from_slice(digits);
    Ok(Value::Int(i64::from_le_bytes(wide)))
}

fn size(value: Value) -> Parsed<usize> {
    match value {
        Value::Int(n) => usize::try_from(n).map_err(|_| format!("{n} is no size")),
        other => Err(format!("{other:?} where a size should be")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    /// Written by torch.save: see `make_state_dict.py` beside it.
    const GOLDEN: &[u8] = include_bytes!("../../../tests/golden/pickle/state_dict.pth");
    const SYSTEM: &[u8] = b"\x80\x02}X\x0d\0\0\0little_endian\x88s.";

    fn load(bytes: &[u8]) -> Result<Vec<(String, Tensor<'_>)>> {
        read(bytes, Path::new("w.pth"))
    }

    fn refused(program: &[u8]) -> String {
        let file = [HEADER, SYSTEM, program, b"\x80\x02]."].concat();
        load(&file).unwrap_err().to_string()
    }

    #[test]
    fn what_torch_wrote_is_read() {
        let tensors = load(GOLDEN).unwrap();
        let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["plain", "transposed", "half", "slice", "count"]);
        let values: Vec<_> = tensors.iter().map(|(_, t)| t.to_f32()).collect();
        let [plain, transposed, half, slice, count] = values.try_into().unwrap();
        assert_close(plain.unwrap(), [0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0], Tolerance::Exact);
        assert_close(transposed.unwrap(), [0.0f32, 3.0, 1.0, 4.0, 2.0, 5.0], Tolerance::Exact);
        assert_close(half.unwrap(), [0.5f32, -0.25], Tolerance::Exact);
        assert_close(slice.unwrap(), [1.0f32, 4.0], Tolerance::Exact);
        assert_eq!(count, None);
    }

    #[test]
    fn every_truncation_is_an_error() {
        for length in 0..GOLDEN.len() {
            assert!(load(&GOLDEN[..length]).is_err(), "{length}");
        }
        assert!(load(&[GOLDEN, b"x"].concat()).unwrap_err().to_string().contains("follows the last storage"));
    }

    #[test]
    fn no_damaged_byte_makes_it_panic() {
        for at in 0..GOLDEN.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = GOLDEN.to_vec();
                bytes[at] ^= flip;
                for (_, tensor) in load(&bytes).unwrap_or_default() {
                    tensor.to_f32();
                }
            }
        }
    }

    #[test]
    fn a_program_that_would_run_something_is_refused_by_name() {
        let error = refused(b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.");
        assert!(error.contains("it names os.system"), "{error}");
        let error = refused(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.");
        assert!(error.contains("a call of Global(RebuildTensor) with 0 arguments"), "{error}");
    }

    #[test]
    fn malformed_programs_are_refused() {
        for (program, reason) in [
            (&b"\x80\x04."[..], "protocol 2"),
            (b"\x80\x02.", "a value is missing"),
            (b"\x80\x02t.", "a mark is missing"),
            (b"\x80\x02(N(R.", "a value is missing"),
            (b"\x80\x02q\0.", "a value is missing"),
            (b"\x80\x02h\x07.", "memo 7 is empty"),
            (b"\x80\x02X\xff\xff\xff\xffab.", "ends too early"),
            (b"\x80\x02X\x01\0\0\0\xff.", "not UTF-8"),
            (b"\x80\x02\x8a\x09aaaaaaaaa.", "beyond 64 bits"),
            (b"\x80\x02}(Nu.", "1 items for Dict"),
            (b"\x80\x02NNb.", "attributes for"),
            (b"\x80\x02N.", "None where a dictionary should be"),
            (b"\x80\x02}NNs.", "a key of the state dict is not text"),
            (b"\x80\x02}X\x01\0\0\0aNs.", "a is not a tensor"),
            (b"\x80\x02)Q.", "no whole storage"),
            (b"\x80\x02\x93.", "opcode 0x93"),
        ] {
            let error = refused(program);
            assert!(error.contains(reason), "{error:?} should contain {reason:?}");
        }
        assert!(load(b"PK\x03\x04").unwrap_err().to_string().contains("does not begin"));
        let big = [HEADER, b"\x80\x02}X\x0d\0\0\0little_endian\x89s."].concat();
        assert!(load(&big).unwrap_err().to_string().contains("little-endian"));
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let program = [b"\x80\x02N".to_vec(), vec![0x85; 1 << 20], b".".to_vec()].concat();
        assert!(refused(&program).contains("where a dictionary should be"));
    }
}
