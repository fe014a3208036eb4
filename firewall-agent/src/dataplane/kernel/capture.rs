//! Captures of dropped packets: what is wanted, and until when.

use std::time::Duration;

use aya::maps::{Array, MapData, RingBuf};
use firewall_common::{abi::names, capture::CaptureSettings};

use super::{
    maps::{map, typed},
    session::Session,
};
use crate::dataplane::{CaptureFilter, CaptureStream, DataplaneError};

/// The settings as aya takes them.
type Words = [u64; size_of::<CaptureSettings>() / size_of::<u64>()];

impl Session {
    /// No program looks at the settings before the control record says that a capture is on.
    pub(super) fn start_capture(
        &self,
        filter: &CaptureFilter,
        time: Duration,
    ) -> Result<CaptureStream, DataplaneError> {
        self.end_capture();
        let settings = filter.settings().ok_or(DataplaneError::CaptureRules {
            rules: filter.rules.len(),
        })?;
        let ring: RingBuf<MapData> = typed(&self.pins, names::CAPTURED)?;
        let mut stream = CaptureStream::from_ring(ring).map_err(|source| DataplaneError::Syscall {
            action: "wait for captured packets",
            source,
        })?;
        // Of a capture whose reader has gone.
        stream.discard();
        let mut table: Array<MapData, Words> = typed(&self.pins, names::CAPTURE)?;
        table
            .set(0, bytemuck::cast::<_, Words>(settings), 0)
            .map_err(map("write", names::CAPTURE))?;
        self.extend_capture(time)?;
        Ok(stream)
    }

    pub(super) fn extend_capture(&self, time: Duration) -> Result<(), DataplaneError> {
        // Zero would be no capture.
        let until = self.clock()?.deadline(time).max(1);
        self.maps.control.write_capture(until);
        Ok(())
    }

    pub(super) fn end_capture(&self) {
        self.maps.control.write_capture(0);
    }
}
