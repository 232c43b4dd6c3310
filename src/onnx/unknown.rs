//! Fields of a message that this version of the format does not know. They are kept as they came and written again: a model
//! of a newer format loses nothing on its way through here.

use prost::DecodeError;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, encode_key, skip_field};

/// The unknown fields of one message, in their order: key and content of each, byte for byte.
///
/// It has the methods that prost asks of a oneof, which each generated message has one of this type for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Unknown(Vec<u8>);

impl Unknown {
    pub(super) fn merge(
        kept: &mut Option<Self>,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        let mut read = Vec::new();
        encode_key(tag, wire_type, &mut read);
        // Truncated fields, lengths beyond the end and groups too deep are found by the one who would skip it.
        skip_field(wire_type, tag, &mut Recorded { buffer, read: &mut read }, context)?;
        kept.get_or_insert_default().0.append(&mut read);
        Ok(())
    }

    /// What two messages that become one did not know: protobuf joins messages by putting one behind the other.
    pub(super) fn join(first: Option<Self>, second: Option<Self>) -> Option<Self> {
        match (first, second) {
            (Some(first), Some(second)) => Some(Self([first.0, second.0].concat())),
            (first, second) => first.or(second),
        }
    }

    pub(super) fn encode(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.0);
    }

    pub(super) fn encoded_len(&self) -> usize {
        self.0.len()
    }
}

/// A buffer that remembers what was read of it.
struct Recorded<'a, B> {
    buffer: &'a mut B,
    read: &'a mut Vec<u8>,
}

impl<B: Buf> Buf for Recorded<'_, B> {
    fn remaining(&self) -> usize {
        self.buffer.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.buffer.chunk()
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let chunk = self.buffer.chunk();
            let part = chunk.len().min(count);
            self.read.extend_from_slice(chunk.get(..part).unwrap_or_default());
            self.buffer.advance(part);
            count -= part;
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::build::{self, Dim};
    use super::super::proto::tensor_proto::DataType;
    use super::super::proto::{AttributeProto, GraphProto, ModelProto};
    use super::super::signature::Port;
    use super::super::{CutPoint, cut, raise, read_model, rename_tensor, splice, write_model};

    /// Fields of every wire type, numbers of which ONNX has none, and one text to be found again.
    fn strange(mark: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        // 100: a varint that is longer than it had to be; 101 and 102: 64 and 32 bits.
        bytes.extend([0xa0, 0x06, 0x81, 0x80, 0x00]);
        bytes.extend([0xa9, 0x06, 1, 2, 3, 4, 5, 6, 7, 8]);
        bytes.extend([0xb5, 0x06, 9, 9, 9, 9]);
        // 103: a group with a group in it.
        bytes.extend([0xbb, 0x06, 0x08, 0x07, 0x13, 0x14, 0xbc, 0x06]);
        // 2047: the last number that is kept.
        bytes.extend([0xfa, 0x7f, u8::try_from(mark.len()).unwrap()]);
        bytes.extend(mark.bytes());
        bytes
    }

    fn with<M: Message + Default>(message: M, mark: &str) -> M {
        M::decode(&*[message.encode_to_vec(), strange(mark)].concat()).unwrap()
    }

    /// x → Add → Flatten → y, with something unknown in a message of every kind.
    fn model(prefix: &str) -> ModelProto {
        let mark = |what: &str| format!("{prefix} {what}");
        let dims = [Dim::Named("n"), Dim::Fixed(2)];
        let value = |name: &str| with(build::value(name, DataType::Float, &dims), &mark(&format!("value {name}")));
        let axis: AttributeProto = with(build::attr_int("axis", 1), &mark("attribute"));
        let graph = GraphProto {
            node: vec![
                with(build::node("Add", &["x", "w"], &["h"], vec![]), &mark("node Add")),
                with(build::node("Flatten", &["h"], &["y"], vec![axis]), &mark("node Flatten")),
            ],
            input: vec![value("x")],
            output: vec![value("y")],
            value_info: vec![value("h")],
            initializer: vec![with(build::tensor_f32("w", &[1], &[1.0]), &mark("tensor"))],
            ..Default::default()
        };
        with(build::model(with(graph, &mark("graph"))), &mark("model"))
    }

    fn contains(bytes: &[u8], mark: &str) -> bool {
        let wanted = strange(mark);
        bytes.windows(wanted.len()).any(|window| window == wanted)
    }

    const ALL: [&str; 9] =
        ["model", "graph", "tensor", "attribute", "node Add", "node Flatten", "value x", "value y", "value h"];

    #[test]
    fn what_is_unknown_survives_reading_surgery_and_writing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let written = |model: &ModelProto| {
            write_model(model, &path).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(read_model(&path).unwrap(), *model);
            bytes
        };
        let found = |bytes: &[u8], prefix: &str| {
            ALL.into_iter().filter(|what| contains(bytes, &format!("{prefix} {what}"))).collect::<Vec<_>>()
        };
        let bytes = written(&model("a"));
        assert_eq!(found(&bytes, "a"), ALL);
        let again = written(&read_model(&path).unwrap());
        assert_eq!(again, bytes);

        let port = |name: &str| Port { name: name.to_owned(), element: DataType::Undefined, shape: None };
        let point = CutPoint { tensor: "h".to_owned(), token: None, output: port("h") };
        let front = cut(raise(model("a"), 21, "m").unwrap(), &[point], "m").unwrap();
        assert_eq!(found(&written(&front), "a"), ["model", "graph", "tensor", "node Add", "value x", "value h"]);

        let mut back = model("b");
        for (from, to) in [("x", "in"), ("y", "out")] {
            rename_tensor(&mut back, from, to);
        }
        let bytes = written(&splice(model("a"), back, &[("y", "in")], "m").unwrap());
        // What became an inner tensor is described as the second part has it.
        assert_eq!(found(&bytes, "a").len(), ALL.len() - 1);
        assert_eq!(found(&bytes, "b"), ALL);
    }

    #[test]
    fn unknown_fields_that_are_damaged_are_refused() {
        let decode = |field: &[u8]| {
            let bytes = [build::model(GraphProto::default()).encode_to_vec(), field.to_vec()].concat();
            ModelProto::decode(&*bytes).map(|_| ()).map_err(|e| e.to_string())
        };
        assert_eq!(decode(&strange("whole")), Ok(()));
        let whole = strange("whole");
        // Where each field begins, a part of it is missing until the next.
        let bounds = [0, 5, 15, 21, 29, whole.len()];
        for end in (1..whole.len()).filter(|end| !bounds.contains(end)) {
            assert!(decode(&whole[..end]).is_err(), "{end} of {}", whole.len());
        }
        let beyond = decode(&[0xba, 0x06, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]).unwrap_err();
        assert!(beyond.contains("underflow"), "{beyond}");
        // Groups in groups, more than there is a stack for.
        let deep = decode(&[0xbb, 0x06].repeat(100_000)).unwrap_err();
        assert!(deep.contains("recursion limit"), "{deep}");
        let crossed = decode(&[0xbb, 0x06, 0xb4, 0x06]).unwrap_err();
        assert!(crossed.contains("end group"), "{crossed}");
    }
}
