//! What ONNX Runtime's messages mean. It has no error code for the one failure that a smaller batch mends.

use crate::error::Error;

/// What its allocators and NVIDIA's libraries write when there is no memory left, in lower case.
const OUT_OF_MEMORY: [&str; 9] = [
    // ONNX Runtime's arena (`bfc_arena.cc`) and allocator (`allocator.h`), on the host as on a device.
    "failed to allocate memory for requested buffer of size",
    "is smaller than requested bytes of",
    "memory allocation failed. size=",
    // CUDA, and TensorRT through it: "CUDA failure 2: out of memory", "Cuda Runtime (out of memory)".
    "out of memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    // cuDNN 9: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, _HOST_ALLOCATION_FAILED.
    "_allocation_failed",
    // The C++ library's own words, GCC's and Microsoft's.
    "std::bad_alloc",
    "status message: bad allocation",
];

/// The error of a model that could not be loaded or run.
pub(super) fn failure(model: &str, message: &str) -> Error {
    let (model, reason) = (model.to_owned(), first_line(message));
    let lower = message.to_ascii_lowercase();
    match OUT_OF_MEMORY.iter().any(|words| lower.contains(words)) {
        true => Error::OutOfMemory { model, reason },
        false => Error::Model { model, reason },
    }
}

/// ONNX Runtime's messages carry stack traces after the first line.
pub(super) fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or("ONNX Runtime gave no reason").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From users' reports to the projects onnxruntime, Deep-Live-Cam, ragflow and TensorRT.
    const RECORDED: [&str; 9] = [
        "Non-zero status code returned while running ReduceSum node. onnxruntime::BFCArena::AllocateRawInternal Failed to \
         allocate memory for requested buffer of size 939524096",
        "Non-zero status code returned while running FusedMatMul node. Name:'MatMul_92_FusedMatMulAndScale' Status Message: \
         /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:331 void* onnxruntime::BFCArena::AllocateRawInternal(\
         size_t, bool) Failed to allocate memory for requested buffer of size 8388608000",
        "Non-zero status code returned while running Conv node. Name:'p2o.Conv.28' Status Message: /onnxruntime_src/\
         onnxruntime/core/framework/bfc_arena.cc:376 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, \
         onnxruntime::Stream*, bool, onnxruntime::WaitNotificationFn) Available memory of 0 is smaller than requested bytes \
         of 175657216",
        "D:\\a\\_work\\1\\s\\onnxruntime\\core\\providers\\cuda\\cuda_call.cc:114 onnxruntime::CudaCall CUDA failure 2: out of \
         memory ; GPU=0 ; hostname=X ; file=cuda_stream_handle.cc ; line=175 ; expr=cudaStreamCreateWithFlags(&stream, \
         cudaStreamNonBlocking);",
        "Non-zero status code returned while running Gemm node. Name:'fc1' Status Message: cuda_call.cc:114 \
         onnxruntime::CudaCall CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; hostname=X ; \
         file=cuda_execution_provider.cc ; line=168 ; expr=cublasCreate(&cublas_handle_);",
        "cuDNN failure 2: CUDNN_STATUS_ALLOC_FAILED ; GPU=0 ; hostname=X ; expr=finder(calgo, algoPerf)",
        "[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)",
        "Non-zero status code returned while running FusedMatMul node. Name:'MatMul_With_Transpose' Status Message: bad \
         allocation",
        "Non-zero status code returned while running Conv node. Name:'conv' Status Message: std::bad_alloc",
    ];

    #[test]
    fn a_lack_of_memory_is_told_from_other_failures() {
        for message in RECORDED {
            assert!(matches!(failure("m", message), Error::OutOfMemory { .. }), "{message}");
        }
        for message in [
            "CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED ; GPU=0 ; hostname=X ; file=gemm.cc ; line=121",
            "Got invalid dimensions for input: x for the following indices\n index: 1 Got: 3 Expected: 2",
            "",
        ] {
            assert!(matches!(failure("m", message), Error::Model { .. }), "{message}");
        }
        assert_eq!(failure("m", "one\ntwo").to_string(), "model m: one");
    }
}
