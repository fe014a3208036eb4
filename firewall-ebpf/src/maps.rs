//! The maps. Their names are those in [`firewall_common::abi::names`]; sizes are set by the loader.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray, RingBuf},
};
use firewall_common::{
    abi::{PROGRAMS, SLOTS},
    capture::{CaptureCounts, CaptureSettings, CapturedPacket, VIEWER_ENTRIES},
    compact::CompactChain,
    control::Control,
    counters::{self, Counter, RuleCounter},
    flow::Bucket,
    fragment::{FragmentKey, FragmentRecord},
    headers::Headers,
    image::Block,
    interface::{self, InterfaceRecord},
    judge::Work,
    plain::PlainRecord,
    prefix_set,
    word::Word,
};

/// `BPF_F_MMAPABLE` of `linux/bpf.h`.
const MMAPABLE: u32 = 1 << 10;

#[map]
pub(crate) static CONTROL: Array<Control> = Array::pinned(1, MMAPABLE);
#[map]
pub(crate) static INTERFACES: Array<InterfaceRecord> = Array::pinned(interface::INTERFACE_ENTRIES, 0);
#[map]
pub(crate) static FLOWS: Array<Bucket> = Array::pinned(1024, MMAPABLE);
#[map]
pub(crate) static HALF_FLOWS: Array<Bucket> = Array::pinned(1024, MMAPABLE);
#[map]
pub(crate) static FLOW_FILTERS: Array<Word> = Array::pinned(1024, 0);
#[map]
pub(crate) static HALF_FLOW_FILTERS: Array<Word> = Array::pinned(1024, 0);
#[map]
pub(crate) static COMPACT: Array<CompactChain> = Array::pinned(SLOTS as u32, 0);
#[map]
pub(crate) static RULE_COUNTERS: PerCpuArray<RuleCounter> = PerCpuArray::pinned(4096, 0);
#[map]
pub(crate) static REASON_COUNTERS: PerCpuArray<Counter> = PerCpuArray::pinned(counters::REASON_ENTRIES, 0);
#[map]
pub(crate) static INTERFACE_COUNTERS: PerCpuArray<Counter> =
    PerCpuArray::pinned(counters::INTERFACE_ENTRIES, 0);
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::pinned(1 << 20, 0);
#[map]
pub(crate) static EVENT_LOSS: PerCpuArray<u64> = PerCpuArray::pinned(1, 0);
#[map]
pub(crate) static CAPTURE: Array<CaptureSettings> = Array::pinned(VIEWER_ENTRIES, 0);
#[map]
pub(crate) static CAPTURED: RingBuf = RingBuf::pinned(1 << 19, 0);
#[map]
pub(crate) static SAMPLED: RingBuf = RingBuf::pinned(1 << 19, 0);
#[map]
pub(crate) static CAPTURE_COUNTS: PerCpuArray<CaptureCounts> = PerCpuArray::pinned(VIEWER_ENTRIES, 0);
#[map]
pub(crate) static CAPTURE_ROOM: PerCpuArray<CapturedPacket> = PerCpuArray::pinned(2, 0);
#[map]
pub(crate) static LOG_WINDOWS: Array<u64> = Array::pinned(4096 + counters::REASON_ENTRIES, 0);
#[map]
pub(crate) static FRAGMENTS: LruHashMap<FragmentKey, FragmentRecord> = LruHashMap::pinned(8192, 0);
#[map]
pub(crate) static ORPHANS: LruHashMap<[u64; 2], u64> = LruHashMap::pinned(4096, 0);
#[map]
pub(crate) static ORPHANS_TOTAL: Array<u64> = Array::pinned(1, 0);
#[map]
pub(crate) static LOCAL_ADDRESSES: HashMap<[u64; 2], u64> = HashMap::pinned(4096, 0);
#[map]
pub(crate) static BANS_V4: LpmTrie<[u8; 4], u64> = LpmTrie::pinned(65_536, 0);
#[map]
pub(crate) static BANS_V6: LpmTrie<[u8; 16], u64> = LpmTrie::pinned(65_536, 0);
#[map]
pub(crate) static LIST_ROOTS: Array<u64> = Array::pinned(prefix_set::ROOTS, MMAPABLE);
#[map]
pub(crate) static LIST_BLOCKS: Array<Block> = Array::pinned(64, MMAPABLE);
#[map]
pub(crate) static REJECT_WINDOWS: LruHashMap<[u64; 2], u64> = LruHashMap::pinned(4096, 0);
#[map]
pub(crate) static REJECT_TOTAL: Array<u64> = Array::pinned(1, 0);
#[map]
pub(crate) static SCRATCH: PerCpuArray<Headers> = PerCpuArray::pinned(2, 0);
#[map]
pub(crate) static PLAIN: PerCpuArray<PlainRecord> = PerCpuArray::pinned(1, 0);
#[map]
pub(crate) static WORK: PerCpuArray<Work> = PerCpuArray::pinned(2, 0);
#[map]
pub(crate) static TOLD: Array<u64> = Array::pinned(1, MMAPABLE);
#[map]
pub(crate) static XDP_SLOTS: ProgramArray = ProgramArray::pinned(PROGRAMS, 0);
#[map]
pub(crate) static TC_SLOTS: ProgramArray = ProgramArray::pinned(PROGRAMS, 0);
