//! Captures of dropped packets.

use std::fmt::Write;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Which dropped packets are captured, and how much of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// The rule that decides, or a default such as `(default in)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Name of the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Name of the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// `in` or `out`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// Bytes of each packet.
    pub snap_bytes: u32,
    /// Packets in a second.
    pub per_second: u32,
    /// End after so many packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// End after so long; without it, when the client goes away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// What a packet starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// An Ethernet header.
    Ethernet,
    /// An IP header.
    Ip,
}

/// A packet that was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedPacket {
    /// When.
    pub at: Timestamp,
    /// `in` or `out`.
    pub direction: String,
    /// The interface's name, or its index where it is gone.
    pub interface: String,
    /// What it starts with.
    pub link: Link,
    /// `drop` or `reject`.
    pub verdict: String,
    /// Name of the reason.
    pub reason: String,
    /// The rule that decided, or a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// `file:line` of the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Bytes that it had.
    pub length: u32,
    /// The first of them, in hexadecimal.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub bytes: Vec<u8>,
}

/// Packets as they come, and what was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captures {
    /// In the order in which they came; none where nothing has happened for a while.
    pub packets: Vec<CapturedPacket>,
    /// Packets since the capture began that were left out, since there were more in a second than wanted.
    pub limited: u64,
    /// Packets since then that were lost, since they were not read in time.
    pub lost: u64,
    /// Seconds since then in which nothing was captured, since the client did not take what there was.
    #[serde(default)]
    pub paused_seconds: u64,
    /// Whether this is the end.
    pub ended: bool,
}

fn to_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let text = bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
    serializer.serialize_str(&text)
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digit = |character: u8| char::from(character).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    bytes.ok_or_else(|| D::Error::custom("not bytes in hexadecimal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Bytes(#[serde(serialize_with = "to_hex", deserialize_with = "from_hex")] Vec<u8>);

    #[test]
    fn bytes_are_hexadecimal_on_the_wire() {
        let text = serde_json::to_string(&Bytes(vec![0, 0x0f, 0xff])).expect("plain");
        assert_eq!(text, r#""000fff""#);
        assert_eq!(
            serde_json::from_str::<Bytes>(&text).expect("the same"),
            Bytes(vec![0, 0x0f, 0xff])
        );
        for wrong in [r#""0""#, r#""0g""#, r#""+1""#] {
            serde_json::from_str::<Bytes>(wrong).expect_err(wrong);
        }
    }
}
