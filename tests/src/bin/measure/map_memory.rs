//! Memory of the kernel's maps.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::{AsFd, AsRawFd},
    path::Path,
};

use anyhow::{Context, Result};
use aya::{maps::MapData, programs::ProgramInfo};

/// Bytes of each map that is pinned below a directory, or used by a program pinned there, by name and number.
pub(crate) fn below(directory: &Path) -> Result<BTreeMap<(String, u32), u64>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(below(&path)?);
            continue;
        }
        // The kernel gives out whatever is pinned there; what it is stands with the descriptor.
        let Ok(pinned) = MapData::from_pin(&path) else {
            continue;
        };
        let text = descriptor(&pinned)?;
        if number(&text, "map_id:").is_some() {
            add(&pinned, &mut found)?;
        } else if number(&text, "prog_id:").is_some() && number(&text, "prog_jited:").is_some() {
            let program = ProgramInfo::from_pin(&path)?;
            for map in program.map_ids()?.unwrap_or_default() {
                let map = MapData::from_id(map).with_context(|| format!("map {map}"))?;
                add(&map, &mut found)?;
            }
        }
    }
    Ok(found)
}

/// What the kernel says of a descriptor.
fn descriptor(map: &MapData) -> Result<String> {
    let path = format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd());
    Ok(fs::read_to_string(path)?)
}

fn add(map: &MapData, found: &mut BTreeMap<(String, u32), u64>) -> Result<()> {
    let bytes = number(&descriptor(map)?, "memlock:").context("a map without its memory")?;
    let info = map.info()?;
    let name = info.name_as_str().unwrap_or_default().to_owned();
    found.insert((name, info.id()), bytes);
    Ok(())
}

/// The number behind a word in `/proc/…/fdinfo/…`.
fn number(info: &str, word: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix(word))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_a_descriptor() {
        let info = "pos:\t0\nmap_type:\t2\nmemlock:\t4096\nmap_id:\t7\n";
        assert_eq!(number(info, "memlock:"), Some(4096));
        assert_eq!(number(info, "map_id:"), Some(7));
        assert_eq!(number(info, "prog_id:"), None);
    }
}
