//! Registers and instructions (RFC 9669).

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use aya_obj::generated::bpf_insn;

use super::{
    maps::Maps,
    memory::{Memory, Place},
};

/// Bytes of stack of one function.
const STACK_BYTES: usize = 512;
/// No program runs for longer.
const MOST_INSTRUCTIONS: u64 = 1_000_000;
/// No function is called from deeper down (`MAX_CALL_FRAMES` of `linux/bpf_verifier.h`).
const MOST_FRAMES: u32 = 8;

/// Marks of numbers that stand for a map, by its place in the list of names, and for a function, by its first instruction.
const MAP_MARK: u64 = 0xfa17_0000_0000_0000;
const FUNCTION_MARK: u64 = 0xfb17_0000_0000_0000;
const MARK: u64 = 0xffff_0000_0000_0000;

/// Source registers with a meaning of their own (`linux/bpf.h`).
const PSEUDO_MAP: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;
const PSEUDO_FUNCTION: u8 = 4;
const PSEUDO_CALL: u8 = 1;

/// How a program goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With this return value.
    Returned(u64),
    /// In the program of this index of a map.
    TailCall { map: String, index: u32 },
}

/// What programs run on.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub(super) memory: Memory,
    pub(super) maps: Maps,
    /// Names of the maps by the numbers that stand for them in instructions.
    pub(super) names: &'a [String],
    /// Address of the data of maps that programs read directly.
    pub(super) sections: BTreeMap<u32, u64>,
    /// What the kernel's clock says, in jiffies.
    pub(super) jiffies: u64,
    /// Instructions that were executed.
    pub(super) instructions: u64,
    /// How often each instruction of the program that runs now was executed, by its place.
    pub(super) executed: BTreeMap<usize, u64>,
    /// Calls of helpers by name, look-ups aside.
    pub(super) helpers: BTreeMap<&'static str, u32>,
}

type Registers = [u64; 11];

impl Machine<'_> {
    /// Runs a program on a context.
    pub(super) fn run(&mut self, code: &[bpf_insn], context: u64) -> Result<End> {
        self.function(code, 0, [context, 0, 0, 0, 0], 0)
    }

    fn function(&mut self, code: &[bpf_insn], start: usize, arguments: [u64; 5], depth: u32) -> Result<End> {
        ensure!(depth < MOST_FRAMES, "functions are nested too deep");
        let mut registers: Registers = [0; 11];
        registers[1..=5].copy_from_slice(&arguments);
        let stack = self.memory.add(Place::Own, &[0; STACK_BYTES]);
        registers[10] = stack + STACK_BYTES as u64;
        let mut at = start;
        loop {
            let instruction = *code.get(at).context("the program runs off its end")?;
            self.instructions += 1;
            *self.executed.entry(at).or_insert(0) += 1;
            ensure!(self.instructions < MOST_INSTRUCTIONS, "the program does not end");
            match instruction.code & 7 {
                0 => {
                    let high = *code.get(at + 1).context("half an instruction")?;
                    registers[destination(instruction)] = self.wide(instruction, high, at)?;
                    at += 2;
                }
                1 => {
                    let address = registers[source(instruction)].wrapping_add(offset(instruction));
                    registers[destination(instruction)] = self.memory.load(address, size(instruction))?;
                    at += 1;
                }
                2 => {
                    let address = registers[destination(instruction)].wrapping_add(offset(instruction));
                    self.memory
                        .store(address, size(instruction), immediate(instruction))?;
                    at += 1;
                }
                3 => {
                    self.store(&mut registers, instruction)?;
                    at += 1;
                }
                4 | 7 => {
                    calculate(&mut registers, instruction)?;
                    at += 1;
                }
                _ => match instruction.code {
                    0x95 => return Ok(End::Returned(registers[0])),
                    0x85 => {
                        if let Some(end) = self.call(code, &mut registers, instruction, at, depth)? {
                            return Ok(end);
                        }
                        at += 1;
                    }
                    _ => {
                        let taken = jumps(&registers, instruction)?;
                        at += 1;
                        if taken {
                            at = at
                                .checked_add_signed(instruction.off.into())
                                .context("a jump to nowhere")?;
                        }
                    }
                },
            }
        }
    }

    /// A constant of 64 bits.
    fn wide(&self, low: bpf_insn, high: bpf_insn, at: usize) -> Result<u64> {
        let number = low.imm.cast_unsigned();
        Ok(match low.src_reg() {
            PSEUDO_MAP => MAP_MARK | u64::from(number),
            PSEUDO_MAP_VALUE => {
                let section = self.sections.get(&number).context("data of no section")?;
                section + u64::from(high.imm.cast_unsigned())
            }
            PSEUDO_FUNCTION => {
                let target = at.checked_add_signed(low.imm as isize + 1);
                FUNCTION_MARK | target.context("a function before the program")? as u64
            }
            0 => u64::from(number) | u64::from(high.imm.cast_unsigned()) << 32,
            other => bail!("a constant of kind {other}"),
        })
    }

    /// A store of a register, or one that the kernel does in one go.
    fn store(&mut self, registers: &mut Registers, instruction: bpf_insn) -> Result<()> {
        let address = registers[destination(instruction)].wrapping_add(offset(instruction));
        let value = registers[source(instruction)];
        let bytes = size(instruction);
        if instruction.code & 0xe0 == 0x60 {
            return self.memory.store(address, bytes, value);
        }
        ensure!(instruction.code & 0xe0 == 0xc0, "a store of an unknown mode");
        let old = self.memory.load(address, bytes)?;
        match instruction.imm {
            0x00 | 0x01 => self.memory.store(address, bytes, old.wrapping_add(value))?,
            0xe1 => self.memory.store(address, bytes, value)?,
            0xf1 => {
                let wanted = if bytes == 4 {
                    registers[0] & 0xffff_ffff
                } else {
                    registers[0]
                };
                if old == wanted {
                    self.memory.store(address, bytes, value)?;
                }
                registers[0] = old;
            }
            other => bail!("atomic operation {other:#x}"),
        }
        if matches!(instruction.imm, 0x01 | 0xe1) {
            registers[source(instruction)] = old;
        }
        Ok(())
    }

    /// A call of a function or of a helper; says how the program ends where that ends it.
    fn call(
        &mut self,
        code: &[bpf_insn],
        registers: &mut Registers,
        instruction: bpf_insn,
        at: usize,
        depth: u32,
    ) -> Result<Option<End>> {
        let arguments = [1, 2, 3, 4, 5].map(|register| registers[register]);
        if instruction.src_reg() == PSEUDO_CALL {
            let target = at.checked_add_signed(instruction.imm as isize + 1);
            let target = target.context("a function before the program")?;
            match self.function(code, target, arguments, depth + 1)? {
                End::Returned(value) => registers[0] = value,
                end @ End::TailCall { .. } => return Ok(Some(end)),
            }
            return Ok(None);
        }
        if instruction.imm == 12 {
            return Ok(Some(End::TailCall {
                map: self.map(arguments[1])?,
                index: low(arguments[2]),
            }));
        }
        registers[0] = self.helper(code, instruction.imm, arguments, depth)?;
        Ok(None)
    }

    /// Calls a helper, by its number in `linux/bpf.h`.
    fn helper(&mut self, code: &[bpf_insn], number: i32, arguments: [u64; 5], depth: u32) -> Result<u64> {
        let name = match number {
            1 => {
                let map = self.map(arguments[0])?;
                return self.maps.look_up(&mut self.memory, &map, arguments[1]);
            }
            2 => "map_update_elem",
            5 => "ktime_get_ns",
            118 => "jiffies64",
            130 => "ringbuf_output",
            181 => "loop",
            other => bail!("helper {other} is not known here"),
        };
        *self.helpers.entry(name).or_insert(0) += 1;
        Ok(match number {
            118 => self.jiffies,
            181 => self.repeat(code, arguments, depth)?,
            _ => 0,
        })
    }

    /// Calls a function up to so many times, until it returns 1.
    fn repeat(&mut self, code: &[bpf_insn], arguments: [u64; 5], depth: u32) -> Result<u64> {
        let [most, function, context, ..] = arguments;
        ensure!(function & MARK == FUNCTION_MARK, "a loop over no function");
        let start = usize::try_from(function & !MARK)?;
        for round in 0..most {
            let end = self.function(code, start, [round, context, 0, 0, 0], depth + 1)?;
            if end != End::Returned(0) {
                return Ok(round + 1);
            }
        }
        Ok(most)
    }

    fn map(&self, number: u64) -> Result<String> {
        ensure!(number & MARK == MAP_MARK, "{number:#x} is no map");
        let place = usize::try_from(number & !MARK)?;
        Ok(self.names.get(place).context("a map without a name")?.clone())
    }
}

fn destination(instruction: bpf_insn) -> usize {
    instruction.dst_reg().into()
}

fn source(instruction: bpf_insn) -> usize {
    instruction.src_reg().into()
}

fn offset(instruction: bpf_insn) -> u64 {
    i64::from(instruction.off).cast_unsigned()
}

fn immediate(instruction: bpf_insn) -> u64 {
    i64::from(instruction.imm).cast_unsigned()
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn low(value: u64) -> u32 {
    value as u32
}

/// Bytes that a load or store takes.
const fn size(instruction: bpf_insn) -> u64 {
    match instruction.code & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

/// The second operand.
fn operand(registers: &Registers, instruction: bpf_insn) -> u64 {
    if instruction.code & 8 == 0 {
        immediate(instruction)
    } else {
        registers[source(instruction)]
    }
}

fn calculate(registers: &mut Registers, instruction: bpf_insn) -> Result<()> {
    let is_wide = instruction.code & 7 == 7;
    let place = destination(instruction);
    if instruction.code & 0xf0 == 0xd0 {
        ensure!(!is_wide, "an unconditional swap is of a newer instruction set");
        registers[place] = swapped(registers[place], instruction);
        return Ok(());
    }
    ensure!(
        instruction.off == 0,
        "signed division is of a newer instruction set"
    );
    let (left, right) = (registers[place], operand(registers, instruction));
    let operation = instruction.code & 0xf0;
    registers[place] = if is_wide {
        wide_result(operation, left, right)?
    } else {
        narrow_result(operation, low(left), low(right))?.into()
    };
    Ok(())
}

fn wide_result(operation: u8, left: u64, right: u64) -> Result<u64> {
    let shift = low(right) & 63;
    Ok(match operation {
        0x00 => left.wrapping_add(right),
        0x10 => left.wrapping_sub(right),
        0x20 => left.wrapping_mul(right),
        0x30 => left.checked_div(right).unwrap_or(0),
        0x40 => left | right,
        0x50 => left & right,
        0x60 => left << shift,
        0x70 => left >> shift,
        0x80 => left.wrapping_neg(),
        0x90 => left.checked_rem(right).unwrap_or(left),
        0xa0 => left ^ right,
        0xb0 => right,
        0xc0 => (left.cast_signed() >> shift).cast_unsigned(),
        other => bail!("operation {other:#x}"),
    })
}

fn narrow_result(operation: u8, left: u32, right: u32) -> Result<u32> {
    let shift = right & 31;
    Ok(match operation {
        0x00 => left.wrapping_add(right),
        0x10 => left.wrapping_sub(right),
        0x20 => left.wrapping_mul(right),
        0x30 => left.checked_div(right).unwrap_or(0),
        0x40 => left | right,
        0x50 => left & right,
        0x60 => left << shift,
        0x70 => left >> shift,
        0x80 => left.wrapping_neg(),
        0x90 => left.checked_rem(right).unwrap_or(left),
        0xa0 => left ^ right,
        0xb0 => right,
        0xc0 => (left.cast_signed() >> shift).cast_unsigned(),
        other => bail!("operation {other:#x}"),
    })
}

/// To big-endian, or to little-endian, which cuts only.
const fn swapped(value: u64, instruction: bpf_insn) -> u64 {
    let bits = instruction.imm.cast_unsigned();
    let cut = if bits == 64 {
        value
    } else {
        value & ((1 << bits) - 1)
    };
    if instruction.code & 8 == 0 {
        cut
    } else {
        cut.swap_bytes() >> (64 - bits)
    }
}

/// Whether a jump is taken.
fn jumps(registers: &Registers, instruction: bpf_insn) -> Result<bool> {
    if instruction.code == 0x05 {
        return Ok(true);
    }
    let (mut left, mut right) = (
        registers[destination(instruction)],
        operand(registers, instruction),
    );
    if instruction.code & 7 == 6 {
        // Sign-extended, so that both kinds of comparison hold as they do for 64 bits.
        let extended = |value| i64::from(low(value).cast_signed()).cast_unsigned();
        (left, right) = (extended(left), extended(right));
    }
    let (signed_left, signed_right) = (left.cast_signed(), right.cast_signed());
    Ok(match instruction.code & 0xf0 {
        0x10 => left == right,
        0x20 => left > right,
        0x30 => left >= right,
        0x40 => left & right != 0,
        0x50 => left != right,
        0x60 => signed_left > signed_right,
        0x70 => signed_left >= signed_right,
        0xa0 => left < right,
        0xb0 => left <= right,
        0xc0 => signed_left < signed_right,
        0xd0 => signed_left <= signed_right,
        other => bail!("jump {other:#x}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(code: u8, destination: u8, source: u8, off: i16, imm: i32) -> bpf_insn {
        let mut instruction: bpf_insn = bytemuck_zeroed();
        instruction.code = code;
        instruction.set_dst_reg(destination);
        instruction.set_src_reg(source);
        instruction.off = off;
        instruction.imm = imm;
        instruction
    }

    fn bytemuck_zeroed() -> bpf_insn {
        // SAFETY: plain numbers, of which zero is one.
        unsafe { std::mem::zeroed() }
    }

    fn result(code: &[bpf_insn]) -> Result<u64> {
        let mut machine = Machine {
            memory: Memory::default(),
            maps: Maps::new(std::path::PathBuf::new(), 0),
            names: &[],
            sections: BTreeMap::new(),
            jiffies: 0,
            instructions: 0,
            executed: BTreeMap::new(),
            helpers: BTreeMap::new(),
        };
        match machine.run(code, 0)? {
            End::Returned(value) => Ok(value),
            End::TailCall { .. } => bail!("a tail call"),
        }
    }

    const EXIT: u8 = 0x95;

    #[test]
    fn halves_wrap_and_wholes_do_not() {
        let sum = |class: u8| {
            result(&[
                instruction(0xb7, 0, 0, 0, -1),
                instruction(class, 0, 0, 0, 2),
                instruction(EXIT, 0, 0, 0, 0),
            ])
        };
        assert_eq!(sum(0x07).unwrap(), 1);
        assert_eq!(sum(0x04).unwrap(), 1);
        let minus = result(&[instruction(0xb4, 0, 0, 0, -1), instruction(EXIT, 0, 0, 0, 0)]);
        assert_eq!(minus.unwrap(), 0xffff_ffff, "a 32-bit move clears the upper half");
    }

    #[test]
    fn jumps_tell_signed_from_unsigned() {
        let jump = |code: u8| {
            result(&[
                instruction(0xb7, 1, 0, 0, -1),
                instruction(0xb7, 0, 0, 0, 1),
                instruction(code, 1, 0, 1, 5),
                instruction(0xb7, 0, 0, 0, 0),
                instruction(EXIT, 0, 0, 0, 0),
            ])
            .unwrap()
        };
        assert_eq!(jump(0x25), 1, "unsigned: all bits set are more than five");
        assert_eq!(jump(0x65), 0, "signed: minus one is less");
        assert_eq!(jump(0x26), 1, "likewise of halves");
        assert_eq!(jump(0x66), 0);
    }

    #[test]
    fn bytes_are_swapped() {
        let swap = instruction(0xdc, 0, 0, 0, 16);
        assert_eq!(swapped(0xabcd_1234, swap), 0x3412);
        let cut = instruction(0xd4, 0, 0, 0, 16);
        assert_eq!(swapped(0xabcd_1234, cut), 0x1234);
    }

    #[test]
    fn memory_of_nobody_is_refused() {
        let load = [
            instruction(0xb7, 1, 0, 0, 64),
            instruction(0x79, 0, 1, 0, 0),
            instruction(EXIT, 0, 0, 0, 0),
        ];
        assert!(result(&load).is_err());
        let stack = [
            instruction(0x7a, 10, 0, -8, 7),
            instruction(0x79, 0, 10, -8, 0),
            instruction(EXIT, 0, 0, 0, 0),
        ];
        assert_eq!(result(&stack).unwrap(), 7);
        let above = [instruction(0x7a, 10, 0, 0, 7), instruction(EXIT, 0, 0, 0, 0)];
        assert!(result(&above).is_err(), "the stack ends there");
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        assert!(result(&[instruction(0x05, 0, 0, -1, 0)]).is_err());
    }
}
