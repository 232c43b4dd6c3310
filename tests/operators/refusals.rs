//! What cannot be computed is refused with a reason.

use engraft::onnx::{DataType, GraphBuilder, build, view};
use engraft::tune::{Array, Program, supported};

#[test]
fn what_is_not_supported_says_why() {
    let node = |op: &str, attributes| {
        let mut graph = GraphBuilder::new("g");
        graph.node(op, &["a", "b"], "y", attributes);
        view(&graph.finish()).nodes.remove(0)
    };
    let reason = |op: &str, attributes| supported(&node(op, attributes), 17).unwrap_err();
    assert!(reason("QLinearConv", vec![]).contains("tune the float model"));
    assert!(reason("MatMulInteger", vec![]).contains("tune the float model"));
    assert!(reason("Loop", vec![]).contains("the operator Loop"));
    assert!(reason("Pad", vec![build::attr_string("mode", "reflect")]).contains("reflect"));
    assert!(reason("Cast", vec![build::attr_int("to", DataType::String as i64)]).contains("Cast"));
    assert!(reason("Conv", vec![build::attr_int("group", 0)]).contains("group"));
    assert!(reason("Softmax", vec![build::attr_float("axis", 1.0)]).contains("attribute axis"));
    assert!(reason("BatchNormalization", vec![build::attr_int("training_mode", 1)]).contains("inference"));
    assert_eq!(supported(&node("MatMul", vec![]), 17), Ok(()));
}

#[test]
fn sizes_that_do_not_fit_name_the_node() {
    let mut graph = GraphBuilder::new("g");
    graph.node("MatMul", &["a", "b"], "y", vec![]);
    let view = view(&graph.finish());
    let program = Program::<f32>::compile(&view, &["a", "b"], &["y"], &[], "m").unwrap();
    let zeros = |dims: &[usize]| Array::new(dims.to_vec(), vec![0.0; dims.iter().product()]).unwrap().into();
    let error = program.run(vec![zeros(&[2, 3]), zeros(&[2, 3])]).unwrap_err().to_string();
    assert!(error.contains("model m: node y/MatMul (MatMul)") && error.contains("[2, 3] and [2, 3]"), "{error}");
    let error = Program::<f32>::compile(&view, &["a"], &["y"], &[], "m").unwrap_err().to_string();
    assert!(error.contains("nothing gives the tensor b"), "{error}");
    let error = Program::<f32>::compile(&view, &["a", "b"], &["y"], &["c"], "m").unwrap_err().to_string();
    assert!(error.contains("c is no constant"), "{error}");
}
