//! Memory of the kernel's maps.

use std::{collections::BTreeMap, fs, os::fd::AsRawFd, path::Path};

use anyhow::{Context, Result};
use aya::{
    maps::{MapData, MapInfo},
    programs::ProgramInfo,
};

/// Bytes of each map that is pinned below a directory, or used by a program pinned there, by name and number.
pub(crate) fn below(directory: &Path) -> Result<BTreeMap<(String, u32), u64>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(below(&path)?);
        } else if let Ok(map) = MapData::from_pin(&path) {
            add(&map.info()?, &mut found)?;
        } else if let Ok(program) = ProgramInfo::from_pin(&path) {
            for number in program.map_ids()?.unwrap_or_default() {
                add(&MapData::from_id(number)?.info()?, &mut found)?;
            }
        }
    }
    Ok(found)
}

fn add(map: &MapInfo, found: &mut BTreeMap<(String, u32), u64>) -> Result<()> {
    let descriptor = map.fd()?;
    let path = format!("/proc/self/fdinfo/{}", descriptor_number(&descriptor));
    let bytes = memory(&fs::read_to_string(path)?).context("a map without its memory")?;
    let name = map.name_as_str().unwrap_or_default().to_owned();
    found.insert((name, map.id()), bytes);
    Ok(())
}

fn descriptor_number(descriptor: &aya::maps::MapFd) -> i32 {
    use std::os::fd::AsFd;
    descriptor.as_fd().as_raw_fd()
}

/// The `memlock` of `/proc/…/fdinfo/…`, in bytes.
fn memory(info: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix("memlock:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_a_descriptor() {
        assert_eq!(memory("pos:\t0\nmap_type:\t2\nmemlock:\t4096\n"), Some(4096));
        assert_eq!(memory("pos:\t0\n"), None);
    }
}
