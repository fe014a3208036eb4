//! Dropped packets for those who look at them: which are wanted, and until when.

use std::time::Duration;

use aya::maps::{Array, MapData, RingBuf};
use firewall_common::{
    abi::names,
    capture::{CaptureSettings, Viewer},
};

use super::{
    maps::{map, typed},
    session::Session,
};
use crate::dataplane::{CaptureFilter, CaptureStream, DataplaneError};

/// The settings as aya takes them.
type Words = [u64; size_of::<CaptureSettings>() / size_of::<u64>()];

impl Session {
    /// No program looks at the settings before the control record says that somebody looks.
    pub(super) fn start_capture(
        &self,
        viewer: Viewer,
        filter: &CaptureFilter,
        time: Duration,
    ) -> Result<CaptureStream, DataplaneError> {
        self.end_capture(viewer)?;
        let settings = filter.settings().ok_or(DataplaneError::CaptureRules {
            rules: filter.rules.len(),
        })?;
        let ring: RingBuf<MapData> = typed(&self.pins, ring_of(viewer))?;
        let mut stream = CaptureStream::from_ring(ring).map_err(|source| DataplaneError::Syscall {
            action: "wait for captured packets",
            source,
        })?;
        // Of a capture whose reader has gone.
        stream.discard();
        let mut table: Array<MapData, Words> = typed(&self.pins, names::CAPTURE)?;
        table
            .set(viewer as u32, bytemuck::cast::<_, Words>(settings), 0)
            .map_err(map("write", names::CAPTURE))?;
        self.extend_capture(viewer, time)?;
        Ok(stream)
    }

    pub(super) fn extend_capture(&self, viewer: Viewer, time: Duration) -> Result<(), DataplaneError> {
        let clock = self.clock()?;
        // Zero would be not at all.
        let until = clock.deadline(time).max(1);
        self.maps.control.write_capture(viewer, until, clock.now_ticks);
        Ok(())
    }

    pub(super) fn end_capture(&self, viewer: Viewer) -> Result<(), DataplaneError> {
        self.maps
            .control
            .write_capture(viewer, 0, self.clock()?.now_ticks);
        Ok(())
    }
}

const fn ring_of(viewer: Viewer) -> &'static str {
    match viewer {
        Viewer::Capture => names::CAPTURED,
        Viewer::Shadow => names::SAMPLED,
    }
}
