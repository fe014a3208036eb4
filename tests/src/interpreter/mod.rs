//! What a packet does in the eBPF programs, instruction by instruction: they are interpreted over the maps of a loaded
//! dataplane, and nothing of the kernel's is changed. Instructions, look-ups and touched cache lines are exact, where a
//! clock only says what a packet took on one machine, one day.
//!
//! The kernel makes of a look-up in an array some six instructions more, of which nothing is counted here.

mod machine;
mod maps;
mod memory;
mod source;

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use aya_obj::Object;
use firewall_common::{
    abi::{SLOTS, TC_SHARED_PROGRAMS, TC_SLOT_PROGRAMS, XDP_SHARED_PROGRAMS, XDP_SLOT_PROGRAMS, names},
    counters::Hook,
};

use machine::{End, Machine};
use maps::Maps;
use memory::{LowPacket, Memory, Place};
pub use source::SourceLine;
use source::Strings;

/// Programs of one packet, at most.
const MOST_PROGRAMS: usize = 24;

/// The way of one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// The programs that it went through.
    pub programs: Vec<String>,
    /// Instructions that were executed.
    pub instructions: u64,
    /// Look-ups by map.
    pub look_ups: BTreeMap<String, u32>,
    /// Other helpers by name, and how often each was called.
    pub helpers: BTreeMap<&'static str, u32>,
    /// Cache lines of map values that were touched, by map.
    pub lines: BTreeMap<String, usize>,
    /// Instructions by line of the source.
    pub sources: BTreeMap<SourceLine, u64>,
    /// What the last program has returned.
    pub action: u64,
}

/// The programs, linked.
#[derive(Debug)]
pub struct Interpreter {
    object: Object,
    /// Maps by number.
    names: Vec<String>,
    /// Data of maps that programs read directly, by number.
    sections: BTreeMap<u32, Vec<u8>>,
    strings: Strings,
}

/// A packet, and what is there when it comes.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Its bytes.
    pub frame: &'a [u8],
    /// Where it is seen.
    pub hook: Hook,
    /// Index of the interface.
    pub interface: u32,
    /// The slot in force.
    pub slot: u8,
    /// The time.
    pub jiffies: u64,
}

impl Interpreter {
    /// Of an object.
    pub fn new(object: &[u8]) -> Result<Self> {
        let mut object = Object::parse(object)?;
        let definitions: Vec<_> = object.maps.drain().collect();
        let mut names = Vec::new();
        let mut sections = BTreeMap::new();
        let mut descriptors = Vec::new();
        for (name, map) in &definitions {
            let number = i32::try_from(names.len())?;
            if !map.data().is_empty() {
                sections.insert(number.cast_unsigned(), map.data().to_vec());
            }
            descriptors.push((name.as_str(), number, map));
            names.push(name.clone());
        }
        let texts: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        object.relocate_maps(descriptors.into_iter(), &texts)?;
        object.relocate_calls(&texts)?;
        let btf = object.btf.as_ref().context("no type information")?;
        let strings = Strings::of(&btf.to_bytes())?;
        Ok(Self {
            object,
            names,
            sections,
            strings,
        })
    }

    /// The way of a packet through the programs of a hook, over maps that are pinned there.
    pub fn walk(&self, pins: PathBuf, arrival: &Arrival<'_>) -> Result<Walk> {
        let packet = LowPacket::new(arrival.frame)?;
        let mut memory = Memory::default();
        memory.vouch(packet.address(), packet.bytes(), Place::Own);
        let context = memory.add(Place::Own, &context(arrival, &packet)?);
        let sections = self
            .sections
            .iter()
            .map(|(number, data)| (*number, memory.add(Place::Own, data)))
            .collect();
        let mut machine = Machine {
            memory,
            maps: Maps::new(pins, arrival.slot),
            names: &self.names,
            sections,
            jiffies: arrival.jiffies,
            instructions: 0,
            executed: BTreeMap::new(),
            helpers: BTreeMap::new(),
        };
        let entry = match arrival.hook {
            Hook::Ingress => names::XDP_ENTRY,
            Hook::Egress => names::TC_ENTRY,
        };
        let mut programs = vec![entry.to_owned()];
        let mut sources = BTreeMap::new();
        let action = loop {
            let name = programs.last().context("there is an entry")?;
            let end = self
                .run(&mut machine, name, context)
                .with_context(|| name.clone())?;
            let executed = std::mem::take(&mut machine.executed);
            self.attribute(name, &executed, &mut sources)?;
            match end {
                End::Returned(value) => break value,
                End::TailCall { map, index } => programs.push(program(&map, index)?),
            }
            anyhow::ensure!(programs.len() < MOST_PROGRAMS, "the packet goes round");
        };
        Ok(Walk {
            programs,
            instructions: machine.instructions,
            look_ups: machine.maps.asked,
            helpers: machine.helpers,
            lines: machine.memory.lines(),
            sources,
            action,
        })
    }

    /// Adds a program's instructions to the lines that they were made of.
    fn attribute(
        &self,
        name: &str,
        executed: &BTreeMap<usize, u64>,
        sources: &mut BTreeMap<SourceLine, u64>,
    ) -> Result<()> {
        let program = self.object.programs.get(name).context("no such program")?;
        let function = &self.object.functions[&program.function_key()];
        for (at, count) in executed {
            let line = self.strings.line_of(&function.line_info, *at);
            *sources.entry(line).or_insert(0) += count;
        }
        Ok(())
    }

    fn run(&self, machine: &mut Machine<'_>, name: &str, context: u64) -> Result<End> {
        let program = self.object.programs.get(name).context("no such program")?;
        let function = &self.object.functions[&program.function_key()];
        machine.run(&function.instructions, context)
    }
}

/// The program at an index of a program array.
fn program(map: &str, index: u32) -> Result<String> {
    /// Names and places.
    type Programs = &'static [(&'static str, u32)];
    let (of_slots, shared): (Programs, Programs) = match map {
        names::XDP_SLOTS => (&XDP_SLOT_PROGRAMS, &XDP_SHARED_PROGRAMS),
        names::TC_SLOTS => (&TC_SLOT_PROGRAMS, &TC_SHARED_PROGRAMS),
        other => bail!("a tail call by {other}"),
    };
    let slots = u32::try_from(SLOTS)?;
    let mut found = shared.iter().filter(|(_, place)| *place == index);
    let mut found_of_slot = of_slots
        .iter()
        .filter(|(_, first)| (*first..first + slots).contains(&index));
    let (name, _) = found
        .next()
        .or_else(|| found_of_slot.next())
        .with_context(|| format!("no program at {index} of {map}"))?;
    Ok((*name).to_owned())
}

/// `struct xdp_md` and `struct __sk_buff` (`linux/bpf.h`): the fields that the programs read.
fn context(arrival: &Arrival<'_>, packet: &LowPacket) -> Result<Vec<u8>> {
    let start = u32::try_from(packet.address())?;
    let length = u32::try_from(packet.bytes())?;
    let mut words = vec![0_u32; 48];
    match arrival.hook {
        Hook::Ingress => {
            [words[0], words[1], words[2]] = [start, start + length, start];
            words[3] = arrival.interface;
        }
        Hook::Egress => {
            words[0] = length;
            let ether_type = arrival.frame.get(12..14).context("a frame without a header")?;
            words[4] = u16::from_le_bytes(ether_type.try_into()?).into();
            words[10] = arrival.interface;
            [words[19], words[20]] = [start, start + length];
        }
    }
    Ok(bytemuck::cast_slice(&words).to_vec())
}
