//! The image of a slot, as `firewall-common` sees it.

use core::ffi::{c_long, c_void};

use aya_ebpf::{helpers::generated::bpf_loop, macros::map, maps::Array};
use firewall_common::{
    classify::{self, Question},
    compact::CompactChain,
    image::Block,
    tables::Image,
};

use crate::maps::COMPACT;

/// `BPF_F_MMAPABLE` of `linux/bpf.h`.
const MMAPABLE: u32 = 1 << 10;

/// The size is set by the loader.
#[map]
static IMAGE: Array<Block> = Array::with_max_entries(64, MMAPABLE);

/// Words that are looked at before the helper is called.
const SEARCHED_HERE: u32 = 6;

/// The image of the slot that this program was loaded for.
pub(crate) struct SlotImage {
    /// A word in a per-CPU map, for [`Image::forget`].
    pub(crate) forgetting: *mut u32,
}

impl Image for SlotImage {
    #[inline(always)]
    fn block(&self, index: u32) -> Option<&Block> {
        IMAGE.get(index)
    }

    #[inline(always)]
    fn compact(&self, slot: u8) -> Option<&CompactChain> {
        COMPACT.get(slot.into()).filter(|chain| chain.head.words != 0)
    }

    #[inline(always)]
    fn forget(&self, value: u32) -> u32 {
        // SAFETY: a word in a per-CPU map value; no other program of this hook runs on this CPU meanwhile.
        unsafe {
            core::ptr::write_volatile(self.forgetting, value);
            core::ptr::read_volatile(self.forgetting)
        }
    }

    #[inline(always)]
    fn search(&self, question: &mut Question) {
        // Nearly all searches end here. Each round of the helper's loop is a call, of which the return costs more than
        // the work where the kernel guards its returns.
        for _ in 0..SEARCHED_HERE {
            if !classify::visit(self, question) {
                return;
            }
        }
        // The helper takes nothing but a pointer to the stack.
        let mut handed: *mut Question = question;
        // SAFETY: what is handed to the callback outlives the call; flags must be zero.
        unsafe {
            bpf_loop(
                classify::MAX_VISITS,
                visit as *mut c_void,
                (&raw mut handed).cast(),
                0,
            )
        };
    }
}

/// The body of [`SlotImage`]'s search; not zero ends it.
unsafe extern "C" fn visit(_: u32, handed: *mut c_void) -> c_long {
    // SAFETY: it is what `search` has handed to the helper.
    let question = unsafe { &mut **handed.cast::<*mut Question>() };
    let image = SlotImage {
        forgetting: &raw mut question.forgetting,
    };
    c_long::from(!classify::visit(&image, question))
}
