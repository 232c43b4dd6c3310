#!/bin/sh
# Fills tests/fuzz/corpus with the golden files, in the form that each target takes, where there is nothing yet.
set -eu
cd "$(dirname "$0")"
golden=../golden
for target in arrays parquet onnx head pickle image manifest configs tokenizer archive tar tables journal; do mkdir -p corpus/$target; done

sidecar='{"id":"a","label":"x","content":"d"}\n{"id":2,"label":null}\n{"id":true,"more":[1]}\n'
for file in $golden/features/*.npy $golden/features/bad/*.npy; do
    { printf 'n\0'; cat "$file"; } > "corpus/arrays/$(basename "$file")"
    { printf "n$sidecar\\0"; cat "$file"; } > "corpus/arrays/beside-$(basename "$file")"
done
for file in $golden/features/*.safetensors $golden/features/bad/*.safetensors; do
    { printf 's\0'; cat "$file"; } > "corpus/arrays/$(basename "$file")"
    { printf "s$sidecar\\0"; cat "$file"; } > "corpus/arrays/beside-$(basename "$file")"
done
cp $golden/features/*.parquet $golden/features/bad/*.parquet corpus/parquet/
cp $golden/pickle/*.pth corpus/pickle/
{
    printf '{"model_type":"bert","hidden_size":4,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":8,"vocab_size":3,"max_position_embeddings":4,"type_vocab_size":2,"layer_norm_eps":1e-12,"hidden_act":"gelu"}\\0'
    cat $golden/features/single.safetensors
} > corpus/pickle/bert
cp $golden/hostile/*.onnx corpus/onnx/
cp $golden/hostile/head.onnx corpus/head/
for file in $golden/preprocess/*.png $golden/preprocess/*.jpg $golden/preprocess/*.webp $golden/preprocess/*.gif \
    $golden/preprocess/*.bmp $golden/preprocess/*.tiff; do
    { printf '\0'; cat "$file"; } > "corpus/image/$(basename "$file")"
done
cp ../../models/*.toml corpus/manifest/
printf 'hf:owner/name@refs/pr/3:onnx/model.onnx' > corpus/manifest/reference
cp $golden/text/tiny_tokenizer.json corpus/tokenizer/
printf '{"model_type":"vit","pretrained_cfg":{"input_size":[3,224,224],"interpolation":"bicubic","crop_pct":0.9,"crop_mode":"center","mean":[0.5,0.5,0.5],"std":[0.5,0.5,0.5],"license":"mit"}}\0{"image_processor_type":"CLIPImageProcessor","do_resize":true,"size":{"shortest_edge":32},"do_center_crop":true,"crop_size":{"height":32,"width":32},"resample":3,"do_rescale":true,"rescale_factor":0.00392156862745098,"image_mean":[0.48,0.45,0.40],"image_std":[0.26,0.26,0.27]}\0[{"path":"","type":"sentence_transformers.models.Transformer"},{"path":"1_Pooling","type":"sentence_transformers.models.Pooling"},{"path":"2","type":"sentence_transformers.models.Normalize"}]\0{"pooling_mode_mean_tokens":true}\0{"max_seq_length":128}\0{"model_max_length":1e30}\0' > corpus/configs/all
cat $golden/text/tiny_tokenizer.json >> corpus/configs/all
printf '{"hidden_size":8,"max_position_embeddings":514,"model_type":"roberta"}\0\0[{"path":"1_Pooling","type":"Pooling"}]\0{"pooling_mode":"cls"}\0\0\0{"truncation":{"max_length":9}}' > corpus/configs/text
printf '\0{"feature_extractor_type":"ConvNextFeatureExtractor","size":224,"crop_pct":0.875,"image_mean":[0.5,0.5,0.5],"image_std":[0.5,0.5,0.5]}' > corpus/configs/convnext

for modality in i t; do
    for file in $golden/sources/*.tar; do { printf "t$modality"; cat "$file"; } > "corpus/tar/$modality-$(basename "$file")"; done
    for file in $golden/sources/*.tar.gz; do { printf "z$modality"; cat "$file"; } > "corpus/tar/$modality-$(basename "$file")"; done
    for file in $golden/sources/*.parquet; do
        { printf "p$modality"; cat "$file"; } > "corpus/tables/$modality-$(basename "$file")"
    done
    printf "c$modality"'id,path,label,text\na,b.png,x,"a ""text"", of two\nlines"\n' > "corpus/tables/$modality.csv"
    printf "j$modality"'{"id":1,"image":{"path":"a.png"},"path":"a.png","label":"x","text":"t"}\n[]\n{}\n' > "corpus/tables/$modality.jsonl"
done

{
    printf '{"journal":1,"run":{"precision":"f32"}}\n'
    printf '{"file":"part-000000000000.parquet","bytes":9,"sha256":"00","entries":{"start":0,"end":3},"rows":2,"rejects":1,"truncated":0,"dimension":2,"digest":"00"}\n'
    printf '{"finished":{"entries":3,"rows":2,"rejects":1,"truncated":0}}\n\0'
    printf '{"id":"a","stage":"read","reason":"gone","part":"part-000000000000"}\n'
} > corpus/journal/run

# An archive of each kind, made here.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/a"
printf 'some bytes' > "$scratch/a/b.bin"
(cd "$scratch" && tar czf a.tar.gz a && python3 -m zipfile -c inner.zip a/b.bin && python3 -m zipfile -c a.whl a/b.bin inner.zip)
{ printf 't'; cat "$scratch/a.tar.gz"; } > corpus/archive/tar
{ printf 'z'; cat "$scratch/a.whl"; } > corpus/archive/wheel
