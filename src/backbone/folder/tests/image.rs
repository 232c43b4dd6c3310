//! Vision models of transformers and timm.

use super::*;
use crate::backbone::{Output, Pooling};
use crate::preprocess::{Exif, ImageSpec, Interpolation, Step, Transparency};

/// An image model with one configuration file, dynamic in height and width.
fn image_with(name: &str, json: &str, overrides: &Overrides) -> Result<ImageSpec, String> {
    let folder = tempfile::tempdir().unwrap();
    image_graph(&folder.path().join("model.onnx"), &[B, Dim::Fixed(3), H, W]);
    write(&folder, name, json);
    match open(folder.path(), overrides, "m").map_err(|e| e.to_string())?.preprocessing {
        Preprocessing::Image(spec) => Ok(spec),
        Preprocessing::Text(_) => panic!("an image model"),
    }
}

fn processor(json: &str) -> Result<ImageSpec, String> {
    image_with("preprocessor_config.json", json, &Overrides::default())
}

fn timm(cfg: &str) -> Result<ImageSpec, String> {
    image_with("config.json", &format!(r#"{{"architecture": "x", "pretrained_cfg": {cfg}}}"#), &Overrides::default())
}

const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
const HALF: ([f32; 3], [f32; 3]) = ([0.5; 3], [0.5; 3]);

fn want(
    steps: Vec<Step>,
    interpolation: Interpolation,
    (mean, std): ([f32; 3], [f32; 3]),
) -> Result<ImageSpec, String> {
    Ok(ImageSpec {
        steps,
        interpolation,
        scale: 1.0 / 255.0,
        mean,
        std,
        exif: Exif::Apply,
        transparency: Transparency::White,
    })
}

#[test]
fn vit_of_both_generations() {
    let old = r#"{"do_normalize": true, "do_resize": true, "feature_extractor_type": "ViTFeatureExtractor",
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2, "size": 224}"#;
    let new = r#"{"do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "ViTImageProcessor", "image_std": [0.5, 0.5, 0.5], "resample": 2,
        "rescale_factor": 0.00392156862745098, "size": {"height": 224, "width": 224}}"#;
    let vit = want(vec![Step::Resize([224, 224])], Interpolation::Bilinear, HALF);
    assert_eq!(processor(old), vit);
    assert_eq!(processor(new), vit);
}

#[test]
fn clip_of_both_generations() {
    let clip = ([0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_6, 0.275_777_1]);
    let clip = want(vec![Step::ShortestEdge(224), Step::CenterCrop([224, 224])], Interpolation::Bicubic, clip);
    let statistics = r#""image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711], "do_normalize": true, "do_resize": true, "resample": 3"#;
    let old =
        r#""feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224, "do_center_crop": true"#;
    let new = r#""image_processor_type": "CLIPImageProcessorFast", "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224}, "do_center_crop": true, "do_convert_rgb": true, "do_rescale": true,
        "rescale_factor": 0.00392156862745098"#;
    assert_eq!(processor(&format!("{{{statistics}, {old}}}")), clip);
    assert_eq!(processor(&format!("{{{statistics}, {new}}}")), clip);
}

#[test]
fn dinov2_crops_what_it_resized_larger() {
    let json = r#"{"crop_size": {"height": 224, "width": 224}, "do_center_crop": true, "do_convert_rgb": true,
        "do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.485, 0.456, 0.406],
        "image_processor_type": "BitImageProcessor", "image_std": [0.229, 0.224, 0.225], "resample": 3,
        "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 256}}"#;
    let steps = vec![Step::ShortestEdge(256), Step::CenterCrop([224, 224])];
    assert_eq!(processor(json), want(steps, Interpolation::Bicubic, IMAGENET));
}

#[test]
fn convnext_depends_on_its_size() {
    let json = |size: &str| {
        format!(
            r#"{{"crop_pct": 0.875, "do_normalize": true, "do_resize": true, "image_mean": [0.485, 0.456, 0.406],
            "feature_extractor_type": "ConvNextFeatureExtractor", "image_std": [0.229, 0.224, 0.225], "resample": 3,
            "size": {size}}}"#
        )
    };
    let small = want(vec![Step::ShortestEdge(256), Step::CenterCrop([224, 224])], Interpolation::Bicubic, IMAGENET);
    assert_eq!(processor(&json("224")), small);
    assert_eq!(processor(&json(r#"{"shortest_edge": 224}"#)), small);
    let large = want(vec![Step::Resize([384, 384])], Interpolation::Bicubic, IMAGENET);
    assert_eq!(processor(&json("384")), large);
}

#[test]
fn efficientnet_divides_by_its_std_twice() {
    let json = |more: &str| {
        format!(
            r#"{{"crop_size": {{"height": 289, "width": 289}}, "do_center_crop": false, "do_normalize": true,
            "do_rescale": true, "do_resize": true, "image_mean": [0.485, 0.456, 0.406],
            "image_processor_type": "EfficientNetImageProcessor", "image_std": [0.5, 0.25, 0.125], "resample": 0,
            "rescale_factor": 0.00392156862745098, "size": {{"height": 224, "width": 224}} {more}}}"#
        )
    };
    let steps = || vec![Step::Resize([224, 224])];
    let twice = (IMAGENET.0, [0.25, 0.0625, 0.015_625]);
    assert_eq!(processor(&json(r#", "include_top": true"#)), want(steps(), Interpolation::Nearest, twice));
    assert_eq!(processor(&json("")), want(steps(), Interpolation::Nearest, twice));
    let once = (IMAGENET.0.map(|m| m + 1.0), [0.5, 0.25, 0.125]);
    let json = json(r#", "include_top": false, "rescale_offset": true"#);
    assert_eq!(processor(&json), want(steps(), Interpolation::Nearest, once));
}

#[test]
fn levit_scales_its_shorter_edge() {
    let json = r#"{"do_center_crop": true, "do_normalize": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5],
        "feature_extractor_type": "LevitFeatureExtractor", "image_std": [0.5, 0.5, 0.5], "resample": 3, "size": 224,
        "crop_size": 224}"#;
    let steps = vec![Step::ShortestEdge(256), Step::CenterCrop([224, 224])];
    assert_eq!(processor(json), want(steps, Interpolation::Bicubic, HALF));
}

#[test]
fn steps_that_are_off_are_left_out() {
    let json = r#"{"do_normalize": false, "do_rescale": false, "do_resize": true, "resample": 4, "do_center_crop": false,
        "size": {"height": 32, "width": 48}}"#;
    let spec = processor(json).unwrap();
    assert_eq!((spec.steps, spec.interpolation), (vec![Step::Resize([32, 48])], Interpolation::Box));
    assert_eq!((spec.scale, spec.mean, spec.std), (1.0, [0.0; 3], [1.0; 3]));
}

#[test]
fn what_a_processor_leaves_open_is_asked_for() {
    let base = r#""do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]"#;
    for (more, flag) in [
        (r#""image_processor_type": "NewImageProcessor", "size": 224, "resample": 3"#, "--resize"),
        (r#""image_processor_type": "NewImageProcessor", "size": {"height": 2, "width": 2}"#, "--interpolation"),
        (r#""size": {"shortest_edge": 800, "longest_edge": 1333}, "resample": 2"#, "--resize"),
        (r#""size": {"shortest_edge": 224}, "resample": 2"#, "--image-size"),
        (r#""size": {"shortest_edge": 224}, "crop_size": 224, "resample": 2"#, "--resize"),
        (r#""size": {"height": 2, "width": 2}, "resample": 9"#, "--interpolation"),
        (r#""size": {"height": 2, "width": 2}, "resample": 2, "do_pad": true"#, "do_pad"),
        (
            r#""image_processor_type": "PoolFormerImageProcessor", "size": {"shortest_edge": 224}, "crop_pct": 0.9"#,
            "--resize",
        ),
        (r#""size": {"height": 2, "width": 2}, "resample": 2, "do_flip_channel_order": true"#, "BGR"),
        (r#""size": {"height": 4000000000, "width": 2}, "resample": 2"#, "8192"),
        (r#""resample": 2"#, "--image-size"),
    ] {
        let error = processor(&format!("{{{base}, {more}}}")).unwrap_err();
        assert!(error.contains(flag), "{more}: {error}");
    }
    let grey = r#"{"size": {"height": 2, "width": 2}, "resample": 2, "image_mean": [0.5], "image_std": [0.5]}"#;
    assert!(processor(grey).unwrap_err().contains("--mean"));
    let zero = r#"{"size": {"height": 2, "width": 2}, "resample": 2, "image_mean": [0,0,0], "image_std": [0,1,1]}"#;
    assert!(processor(zero).unwrap_err().contains("--std"));
}

#[test]
fn timm_resnet50_and_mobilenetv3() {
    let resnet50 = r#"{"tag": "a1_in1k", "custom_load": false, "input_size": [3, 224, 224], "test_input_size": [3, 288, 288],
        "fixed_input_size": false, "interpolation": "bicubic", "crop_pct": 0.95, "test_crop_pct": 1.0,
        "crop_mode": "center", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "num_classes": 1000,
        "pool_size": [7, 7], "first_conv": "conv1", "classifier": "fc", "license": "apache-2.0"}"#;
    // floor(224 / 0.95) = 235.
    let steps = vec![Step::ShortestEdge(235), Step::CenterCrop([224, 224])];
    assert_eq!(timm(resnet50), want(steps, Interpolation::Bicubic, IMAGENET));
    let mobilenetv3 = r#"{"tag": "ra_in1k", "input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.875,
        "crop_mode": "center", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}"#;
    let steps = vec![Step::ShortestEdge(256), Step::CenterCrop([224, 224])];
    assert_eq!(timm(mobilenetv3), want(steps, Interpolation::Bicubic, IMAGENET));
}

#[test]
fn timm_squash_defaults_and_refusals() {
    let squash = r#"{"input_size": [3, 384, 384], "crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bilinear",
        "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}"#;
    let steps = vec![Step::Resize([384, 384]), Step::CenterCrop([384, 384])];
    assert_eq!(timm(squash), want(steps, Interpolation::Bilinear, HALF));
    let steps = vec![Step::ShortestEdge(256), Step::CenterCrop([224, 224])];
    assert_eq!(timm(r#"{"input_size": [3, 224, 224]}"#), want(steps, Interpolation::Bicubic, IMAGENET));
    for (cfg, flag) in [
        (r#"{"input_size": [3, 224, 224], "crop_mode": "border"}"#, "--resize"),
        (r#"{"input_size": [3, 224, 224], "interpolation": "random"}"#, "--interpolation"),
        (r#"{"input_size": [3, 224, 192]}"#, "--resize"),
        (r#"{"crop_pct": 0.9}"#, "--image-size"),
        (r#"{"input_size": [1, 28, 28]}"#, "1 channels"),
        (r#"{"input_size": [3, 224, 224], "crop_pct": 0.0}"#, "--resize"),
    ] {
        let error = timm(cfg).unwrap_err();
        assert!(error.contains(flag), "{cfg}: {error}");
    }
}

#[test]
fn timm_under_transformers_reads_timms_config_and_its_licence() {
    let folder = tempfile::tempdir().unwrap();
    image_graph(&folder.path().join("onnx/model.onnx"), &[B, Dim::Fixed(3), Dim::Fixed(224), Dim::Fixed(224)]);
    write(&folder, "preprocessor_config.json", r#"{"image_processor_type": "TimmWrapperImageProcessor"}"#);
    write(&folder, "config.json", r#"{"pretrained_cfg": {"input_size": [3, 224, 224], "license": "mit"}}"#);
    let backbone = open(folder.path(), &Overrides::default(), "m").unwrap();
    assert_eq!(backbone.licence.as_deref(), Some("mit"));
    assert_eq!(backbone.model, folder.path().join("onnx/model.onnx"));
    assert_eq!(backbone.tokenizer, None);
}

#[test]
fn a_bare_image_file_is_told_by_flags_and_a_fixed_size_by_its_graph() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.onnx");
    image_graph(&file, &[B, Dim::Fixed(3), Dim::Fixed(64), Dim::Fixed(48)]);
    let error = open(&file, &Overrides::default(), "m").unwrap_err().to_string();
    for flag in ["--resize", "--interpolation", "--mean and --std"] {
        assert!(error.contains(flag), "{error}");
    }
    let mut flags = Overrides {
        resize: Some(Resize::ShortestEdge(72)),
        interpolation: Some(Interpolation::Lanczos),
        mean: Some([0.0; 3]),
        std: Some([1.0; 3]),
        ..Default::default()
    };
    let backbone = open(&file, &flags, "mine").unwrap();
    let steps = vec![Step::ShortestEdge(72), Step::CenterCrop([64, 48])];
    let spec = want(steps, Interpolation::Lanczos, ([0.0; 3], [1.0; 3])).unwrap();
    assert_eq!(backbone.preprocessing, Preprocessing::Image(spec));
    assert_eq!((backbone.name.as_str(), &backbone.model), ("mine", &file));
    let features = Output { tensor: "features".into(), pooling: Pooling::None, normalize: false };
    assert_eq!(backbone.output, features);

    let refused = |flags: &Overrides| open(&file, flags, "m").unwrap_err().to_string();
    flags.std = None;
    assert!(refused(&flags).contains("--std"));
    flags.std = Some([1.0; 3]);
    flags.image_size = Some([32, 32]);
    assert!(refused(&flags).contains("64x48"));
    flags.image_size = None;
    flags.resize = Some(Resize::ShortestEdge(50));
    assert!(refused(&flags).contains("--resize 50"));
}

#[test]
fn flags_go_before_files() {
    let json = r#"{"image_processor_type": "ViTImageProcessor", "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
        "resample": 2, "size": {"height": 224, "width": 224}}"#;
    let with = |overrides: Overrides| image_with("preprocessor_config.json", json, &overrides);
    let larger = with(Overrides { image_size: Some([384, 384]), ..Default::default() });
    assert_eq!(larger, want(vec![Step::Resize([384, 384])], Interpolation::Bilinear, HALF));
    let cropped = with(Overrides { resize: Some(Resize::ShortestEdge(256)), ..Default::default() });
    let steps = vec![Step::ShortestEdge(256), Step::CenterCrop([224, 224])];
    assert_eq!(cropped, want(steps, Interpolation::Bilinear, HALF));
    let sharp = with(Overrides { interpolation: Some(Interpolation::Lanczos), ..Default::default() });
    assert_eq!(sharp, want(vec![Step::Resize([224, 224])], Interpolation::Lanczos, HALF));

    let crop = r#"{"image_processor_type": "CLIPImageProcessor", "size": 224, "crop_size": 224,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
    let size = Overrides { image_size: Some([336, 336]), ..Default::default() };
    assert!(image_with("preprocessor_config.json", crop, &size).unwrap_err().contains("--resize"));
    // timm's crop is a share, so another size says all.
    let timm = r#"{"pretrained_cfg": {"input_size": [3, 224, 224], "crop_pct": 0.875}}"#;
    let steps = vec![Step::ShortestEdge(384), Step::CenterCrop([336, 336])];
    assert_eq!(image_with("config.json", timm, &size), want(steps, Interpolation::Bicubic, IMAGENET));
}

#[test]
fn a_graph_of_another_size_or_layout_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    let json = r#"{"image_processor_type": "ViTImageProcessor", "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
        "size": 224}"#;
    write(&folder, "preprocessor_config.json", json);
    let error = |dims: &[Dim]| {
        image_graph(&file, dims);
        open(folder.path(), &Overrides::default(), "m").unwrap_err().to_string()
    };
    let size = error(&[B, Dim::Fixed(3), Dim::Fixed(384), Dim::Fixed(384)]);
    assert!(size.contains("384x384") && size.contains("224x224") && size.contains("--image-size"), "{size}");
    assert!(error(&[B, H, W, Dim::Fixed(3)]).contains("channels last"));
    assert!(error(&[B, Dim::Fixed(224), Dim::Fixed(224), Dim::Fixed(3)]).contains("channels last"));
    assert!(error(&[B, Dim::Fixed(1), Dim::Fixed(224), Dim::Fixed(224)]).contains("no RGB image"));
    assert!(error(&[B, Dim::Fixed(12)]).contains("--onnx-file"));
}
