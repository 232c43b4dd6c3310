//! What the processor at hand makes of bytes.

/// Whether ONNX Runtime adds products of bytes exactly on this processor. On x86 processors without VNNI it adds them in pairs in 16 bits, and
/// cuts off what does not fit; [`WeightRange::Reduced`](crate::onnx::WeightRange::Reduced) fits.
pub fn adds_bytes_exactly() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    true
}
