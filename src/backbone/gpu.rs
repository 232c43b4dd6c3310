//! The NVIDIA cards of this machine, as the driver's own tool tells of them.

use std::process::{Command, Stdio};

use serde::Serialize;

/// One card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// The index that `--device cuda:N` takes, unless `CUDA_VISIBLE_DEVICES` renumbers the cards.
    pub index: u32,
    /// Such as "NVIDIA H100 80GB HBM3".
    pub name: String,
    /// Version of the driver.
    pub driver: String,
    /// Compute capability, such as "9.0" for SM 90.
    pub compute_capability: String,
    /// Memory in MiB.
    pub memory_mib: u64,
}

const FIELDS: &str = "--query-gpu=index,name,driver_version,compute_cap,memory.total";

/// The cards that `nvidia-smi` lists.
///
/// # Errors
/// In words, when there is no such program, it fails or answers otherwise than asked: mostly because there is no NVIDIA driver.
pub fn gpus() -> Result<Vec<Gpu>, String> {
    let mut command = Command::new("nvidia-smi");
    command.args([FIELDS, "--format=csv,noheader,nounits"]).stdin(Stdio::null());
    let output =
        command.output().map_err(|e| format!("nvidia-smi did not start ({e}): is NVIDIA's driver installed?"))?;
    if !output.status.success() {
        // It writes its complaints to stdout.
        let words = [&output.stdout[..], &output.stderr].concat();
        let words = String::from_utf8_lossy(&words);
        return Err(format!("nvidia-smi: {}", words.lines().next().unwrap_or("it failed without a word").trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter(|line| !line.trim().is_empty()).map(parse).collect()
}

fn parse(line: &str) -> Result<Gpu, String> {
    let wrong = || format!("nvidia-smi answered {line:?}");
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let &[index, name, driver, compute_capability, memory] = &fields[..] else { return Err(wrong()) };
    Ok(Gpu {
        index: index.parse().map_err(|_| wrong())?,
        name: name.to_owned(),
        driver: driver.to_owned(),
        compute_capability: compute_capability.to_owned(),
        // Some integrated cards say [N/A].
        memory_mib: memory.parse().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_nvidia_smi_is_read() {
        let gpu = parse("0, NVIDIA H100 80GB HBM3, 580.95.05, 9.0, 81559").unwrap();
        let expected = Gpu {
            index: 0,
            name: "NVIDIA H100 80GB HBM3".to_owned(),
            driver: "580.95.05".to_owned(),
            compute_capability: "9.0".to_owned(),
            memory_mib: 81559,
        };
        assert_eq!(gpu, expected);
        assert_eq!(parse("1, NVIDIA GB10, 580.95.05, 12.1, [N/A]").unwrap().memory_mib, 0);
        for line in ["No devices were found", "x, a, b, 9.0, 1"] {
            assert!(parse(line).unwrap_err().contains(line));
        }
    }
}
