//! Leaves out of the eBPF object what no load reads: it lies in the agent's memory for as long as that runs.

use object::build::{
    Result,
    elf::{Builder, SectionData},
};

/// The object without the compiler's debug information. BTF stays, with the lines that the verifier's log shows.
pub(crate) fn without_debug_information(object: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(object)?;
    let unread: Vec<_> = builder
        .sections
        .iter()
        .filter(|section| is_unread(&section.name))
        .map(object::build::elf::Section::id)
        .collect();
    for section in &mut builder.sections {
        // Loaders take BTF as it is; its relocations are for linkers (`bpf_object__elf_collect` of libbpf).
        let of_unread = matches!(section.data, SectionData::Relocation(_))
            && section.sh_info_section.is_some_and(|of| unread.contains(&of));
        section.delete = unread.contains(&section.id()) || of_unread;
    }
    // LLVM keeps the names of sections and of symbols in one table; what is written here has one for each.
    if !builder
        .sections
        .iter()
        .any(|section| matches!(section.data, SectionData::SectionString))
    {
        let names = builder.sections.add();
        names.name = b".shstrtab"[..].into();
        names.sh_type = object::elf::SHT_STRTAB;
        names.sh_addralign = 1;
        names.data = SectionData::SectionString;
    }
    builder.delete_orphans();
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}

/// Sections of DWARF, and relocations of BTF.
fn is_unread(name: &[u8]) -> bool {
    [&b".debug_"[..], b".rel.debug_", b".rel.BTF"]
        .iter()
        .any(|start| name.starts_with(start))
}
