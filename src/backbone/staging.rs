//! Runs through page-locked memory: a card copies from it and to it at its full speed, while another session computes.

use std::collections::HashMap;

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session, SessionOutputs};
use ort::value::{DynTensor, PrimitiveTensorElementType};

/// The inputs of one session, kept from batch to batch, and where its outputs go.
pub(super) struct Staging {
    binding: IoBinding,
    inputs: HashMap<String, DynTensor>,
    outputs: Vec<String>,
    memory: MemoryInfo<'static>,
    // After what was allocated with it: fields are dropped in their order.
    allocator: Allocator,
}

impl Staging {
    /// For a session on CUDA's device of this index.
    pub(super) fn for_cuda(session: &Session, device: u32, outputs: impl Iterator<Item = String>) -> ort::Result<Self> {
        Self::new(session, AllocationDevice::CUDA_PINNED, i32::try_from(device).unwrap_or(i32::MAX), outputs)
    }

    fn new(
        session: &Session,
        device: AllocationDevice,
        index: i32,
        outputs: impl Iterator<Item = String>,
    ) -> ort::Result<Self> {
        let memory = |kind| MemoryInfo::new(device.clone(), index, AllocatorType::Device, kind);
        Ok(Self {
            binding: session.create_binding()?,
            inputs: HashMap::new(),
            outputs: outputs.collect(),
            memory: memory(MemoryType::CPUOutput)?,
            allocator: Allocator::new(session, memory(MemoryType::CPUInput)?)?,
        })
    }

    /// Copies an input to the device. `data` has as many elements as `shape` says.
    pub(super) fn put<T>(&mut self, name: &str, shape: &[usize], data: &[T]) -> ort::Result<()>
    where
        T: PrimitiveTensorElementType + Copy,
    {
        let element = T::into_tensor_element_type();
        let sizes: Vec<i64> = shape.iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect();
        let kept = self.inputs.get(name).is_some_and(|t| **t.shape() == *sizes && *t.data_type() == element);
        if !kept {
            self.inputs.insert(name.to_owned(), DynTensor::new(&self.allocator, element, sizes)?);
        }
        let Some(tensor) = self.inputs.get_mut(name) else { return Ok(()) };
        let (_, values) = tensor.try_extract_tensor_mut::<T>()?;
        if values.len() != data.len() {
            return Err(ort::Error::new(format!("input {name:?} has {} values for {}", data.len(), values.len())));
        }
        values.copy_from_slice(data);
        // The tensor is owned: binding a borrowed one would wait for itself. Binding copies, so it is done for each batch.
        self.binding.bind_input(name, tensor)
    }

    /// Runs the graph on what was put; the outputs are in page-locked memory, and complete.
    pub(super) fn run<'a>(&'a mut self, session: &'a mut Session) -> ort::Result<SessionOutputs<'a>> {
        // Bound anew each time: otherwise the last batch's output would be taken for the place of this one's.
        for output in &self.outputs {
            self.binding.bind_output_to_device(output, &self.memory)?;
        }
        let outputs = session.run_binding(&self.binding)?;
        self.binding.synchronize_outputs()?;
        Ok(outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::{Flavour, Home, Runtime, setup};
    use crate::onnx::build::Dim;
    use crate::onnx::{DataType, GraphBuilder, write_model};

    /// The same steps on the host's memory: there need be no card for them.
    #[test]
    fn batches_of_any_size_come_back_right() {
        let home = Home::at(concat!(env!("CARGO_MANIFEST_DIR"), "/target/tmp/home"));
        setup(&home, Flavour::Cpu, &()).unwrap();
        let runtime = Runtime::load(None, &home).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sum.onnx");
        let dims = [Dim::Named("n"), Dim::Fixed(2)];
        let mut graph = GraphBuilder::new("sum");
        graph.input("a", DataType::Float, &dims);
        graph.input("b", DataType::Float, &dims);
        graph.node("Add", &["a", "b"], "y", vec![]);
        graph.output("y", DataType::Float, &dims);
        write_model(&graph.finish(), &path).unwrap();
        let mut session = Session::builder(&runtime.environment).unwrap().commit_from_file(&path).unwrap();
        let mut staging = Staging::new(&session, AllocationDevice::CPU, 0, ["y".to_owned()].into_iter()).unwrap();
        for n in [1, 3, 3, 2] {
            let a: Vec<f32> = (0..2 * n).map(|i| i as f32 + n as f32).collect();
            staging.put("a", &[n, 2], &a).unwrap();
            staging.put("b", &[n, 2], &vec![0.5_f32; 2 * n]).unwrap();
            let outputs = staging.run(&mut session).unwrap();
            let (shape, values) = outputs.get("y").unwrap().try_extract_tensor::<f32>().unwrap();
            assert_eq!(**shape, [n as i64, 2]);
            assert_eq!(values, a.iter().map(|x| x + 0.5).collect::<Vec<_>>());
        }
        assert!(staging.put("a", &[2, 2], &[1.0_f32]).is_err());
    }
}
