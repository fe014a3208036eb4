//! What the kernel's verifier makes of the programs: how many instructions it walks through, and how much stack they
//! take. aya keeps no log of a program that was loaded, so that each is loaded once more, with statistics.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::c_char,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use aya::{EbpfLoader, maps::MapData};
use aya_obj::{Function, Object, ProgramSection, btf::BtfFeatures};

use crate::{
    bpf::{ATTACH_XDP, LoadAttributes, PROG_LOAD, SCHED_CLS, XDP, bpf},
    bpffs::Bpffs,
};

/// Commands, types and flags of bpf(2) (`linux/bpf.h`).
const BTF_LOAD: libc::c_int = 18;
const XDP_HAS_FRAGS: u32 = 1 << 5;
/// `BPF_LOG_STATS` of the verifier.
const LOG_STATS: u32 = 4;
const LOG_BYTES: usize = 1 << 16;
/// Of limits above what a program takes, in percent.
const SLACK_PERCENT: u64 = 25;

/// What one program takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Instructions that the verifier walks through; the kernel ends at a million.
    pub instructions: u64,
    /// Bytes of stack of the program and of all functions that it calls, added up; the kernel ends at 512 on one way.
    pub stack_bytes: u64,
}

/// What each program of an object takes.
pub fn costs(object: &[u8]) -> Result<BTreeMap<String, Cost>> {
    let pins = Bpffs::mount()?;
    let maps = maps(object, pins.path())?;
    let (object, btf) = relocated(object, &maps)?;
    let mut costs = BTreeMap::new();
    for (name, program) in &object.programs {
        let (kind, attach_type, flags) = match program.section {
            ProgramSection::Xdp { frags, .. } => (XDP, ATTACH_XDP, if frags { XDP_HAS_FRAGS } else { 0 }),
            ProgramSection::SchedClassifier => (SCHED_CLS, 0, 0),
            _ => bail!("{name} is of an unexpected kind"),
        };
        let function = &object.functions[&program.function_key()];
        let log = load(function, kind, attach_type, flags, &btf).with_context(|| name.clone())?;
        costs.insert(
            name.clone(),
            read(&log).with_context(|| format!("{name}: {log}"))?,
        );
    }
    Ok(costs)
}

/// All maps of an object, filled as they are for programs.
fn maps(object: &[u8], pins: &Path) -> Result<HashMap<String, MapData>> {
    let loaded = EbpfLoader::new().default_map_pin_directory(pins).load(object)?;
    let mut maps = HashMap::new();
    for (number, (name, map)) in loaded.maps().enumerate() {
        let path = pins.join(format!("map{number}"));
        map.pin(&path)?;
        maps.insert(name.to_owned(), MapData::from_pin(&path)?);
    }
    Ok(maps)
}

fn relocated(object: &[u8], maps: &HashMap<String, MapData>) -> Result<(Object, OwnedFd)> {
    let mut object = Object::parse(object)?;
    let features = BtfFeatures::new(true, true, true, true, true, true, true, true);
    let btf = object
        .fixup_and_sanitize_btf(&features)?
        .context("no type information")?;
    let btf = load_btf(&btf.to_bytes())?;
    let definitions: Vec<_> = object.maps.drain().collect();
    let descriptors = definitions
        .iter()
        .map(|(name, map)| {
            let data = maps.get(name).with_context(|| format!("no map {name}"))?;
            Ok((name.as_str(), data.fd().as_fd().as_raw_fd(), map))
        })
        .collect::<Result<Vec<(&str, RawFd, _)>>>()?;
    let texts: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_maps(descriptors.into_iter(), &texts)?;
    object.relocate_calls(&texts)?;
    Ok((object, btf))
}

#[repr(C)]
struct BtfAttributes {
    btf: u64,
    log: u64,
    btf_bytes: u32,
    log_bytes: u32,
    log_level: u32,
    padding: u32,
}

fn load_btf(bytes: &[u8]) -> Result<OwnedFd> {
    let attributes = BtfAttributes {
        btf: bytes.as_ptr() as u64,
        log: 0,
        btf_bytes: u32::try_from(bytes.len())?,
        log_bytes: 0,
        log_level: 0,
        padding: 0,
    };
    bpf(BTF_LOAD, &attributes).context("the type information")
}

/// Loads a program and returns the verifier's statistics.
fn load(function: &Function, kind: u32, attach_type: u32, flags: u32, btf: &OwnedFd) -> Result<String> {
    let functions = function.func_info.func_info_bytes();
    let mut log = vec![0_u8; LOG_BYTES];
    let attributes = LoadAttributes {
        kind,
        count: u32::try_from(function.instructions.len())?,
        instructions: function.instructions.as_ptr() as u64,
        licence: c"GPL".as_ptr().cast::<c_char>() as u64,
        log_level: LOG_STATS,
        log_bytes: u32::try_from(LOG_BYTES)?,
        log: log.as_mut_ptr() as u64,
        flags,
        attach_type,
        btf: btf.as_raw_fd().cast_unsigned(),
        function_bytes: u32::try_from(function.func_info_rec_size)?,
        functions: functions.as_ptr() as u64,
        function_count: u32::try_from(function.func_info.func_info.len())?,
        ..LoadAttributes::default()
    };
    let loaded = bpf(PROG_LOAD, &attributes);
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    let text = String::from_utf8_lossy(&log[..end]).into_owned();
    ensure!(loaded.is_ok(), "the verifier refused it: {text}");
    Ok(text)
}

/// The verifier's statistics: `stack depth 96+0` and `processed 12 insns (limit …`.
fn read(log: &str) -> Option<Cost> {
    let behind = |word: &str| log.lines().find_map(|line| line.strip_prefix(word));
    let instructions = behind("processed ")?.split(' ').next()?.parse().ok()?;
    let depths = behind("stack depth ")?.split_whitespace().next()?;
    let depths: Result<Vec<u64>, _> = depths.split('+').map(str::parse).collect();
    Some(Cost {
        instructions,
        stack_bytes: depths.ok()?.iter().sum(),
    })
}

/// Limits with some room above what the programs take, as [`limits`] reads them.
#[must_use]
pub fn limits_text(costs: &BTreeMap<String, Cost>) -> String {
    let lines = costs.iter().map(|(name, cost)| {
        let instructions = (cost.instructions * (100 + SLACK_PERCENT) / 100).next_multiple_of(100);
        let stack = (cost.stack_bytes + 16).next_multiple_of(16);
        format!("{name} {instructions} {stack}\n")
    });
    lines.collect()
}

/// Limits by program, one in a line: name, instructions, bytes of stack. Lines that begin with `#` are left out.
pub fn limits(text: &str) -> Result<BTreeMap<String, Cost>> {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let [name, instructions, stack] = line.split(' ').collect::<Vec<_>>()[..] else {
                bail!("a limit is three words: {line}");
            };
            let cost = Cost {
                instructions: instructions.parse()?,
                stack_bytes: stack.parse()?,
            };
            Ok((name.to_owned(), cost))
        })
        .collect()
}

/// What is wrong with programs that take what they take, one sentence each.
#[must_use]
pub fn exceeded(costs: &BTreeMap<String, Cost>, limits: &BTreeMap<String, Cost>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, cost) in costs {
        let Some(limit) = limits.get(name) else {
            found.push(format!("{name} has no limit"));
            continue;
        };
        for (what, is, most) in [
            ("verified instructions", cost.instructions, limit.instructions),
            ("bytes of stack", cost.stack_bytes, limit.stack_bytes),
        ] {
            if is > most {
                found.push(format!("{name} takes {is} {what}, more than {most}"));
            }
        }
    }
    let gone = limits.keys().filter(|name| !costs.contains_key(*name));
    found.extend(gone.map(|name| format!("{name} has a limit and is no program")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "verification time 71 usec\nstack depth 96+0+32\n\
        processed 1234 insns (limit 1000000) max_states_per_insn 1 total_states 9 peak_states 9 mark_read 0\n";

    fn cost(instructions: u64, stack_bytes: u64) -> Cost {
        Cost {
            instructions,
            stack_bytes,
        }
    }

    #[test]
    fn the_log_is_read() {
        assert_eq!(read(LOG), Some(cost(1234, 128)));
        assert_eq!(read("stack depth 96\n"), None);
    }

    #[test]
    fn what_takes_more_is_named() {
        let costs = [("a".to_owned(), cost(100, 32)), ("b".to_owned(), cost(5, 0))].into();
        let within = limits("# a comment\na 100 32\nb 5 0\n").unwrap();
        assert!(exceeded(&costs, &within).is_empty());
        let lower = limits("a 99 31\nc 1 1\n").unwrap();
        assert_eq!(
            exceeded(&costs, &lower),
            [
                "a takes 100 verified instructions, more than 99",
                "a takes 32 bytes of stack, more than 31",
                "b has no limit",
                "c has a limit and is no program",
            ]
        );
        assert!(limits("a 99\n").is_err());
    }

    #[test]
    fn new_limits_hold() {
        let costs = [("a".to_owned(), cost(1234, 128))].into();
        let text = limits_text(&costs);
        assert_eq!(text, "a 1600 144\n");
        assert!(exceeded(&costs, &limits(&text).unwrap()).is_empty());
    }
}
