//! Sizes that both sides must hold to. Units are in the names.

/// Largest envelope payload (JSON) that either side sends or accepts.
pub const MAX_PAYLOAD_BYTES: usize = 128 * 1024;
/// Largest MQTT packet: a payload, its user properties and its topic.
pub const MAX_PACKET_BYTES: u32 = 160 * 1024;
/// Evidence carried inside an alarm, all items together.
pub const MAX_INLINE_EVIDENCE_BYTES: usize = 64 * 1024;
/// Longest free text in an alarm (`text`, a message argument, a resource).
pub const MAX_TEXT_BYTES: usize = 4096;
/// Longest identifier (agent id, device id, alarm type, qualifier, …).
pub const MAX_ID_BYTES: usize = 256;
/// Ranges of sequence numbers that one `loss` may give up.
pub const MAX_RANGES: usize = 1000;
/// Largest body of one delivery over HTTPS.
pub const MAX_POST_BYTES: usize = 1024 * 1024;
/// Most events in it.
pub const MAX_POST_EVENTS: usize = 64;
/// Default QoS 1 window of the agent: publishes sent and not yet answered.
pub const INFLIGHT: u16 = 32;
/// Default heartbeat interval, seconds.
pub const HEARTBEAT_S: u64 = 30;

/// Cuts `text` to at most `max` bytes on a character boundary; says whether it did.
pub fn cut(text: &mut String, max: usize) -> bool {
    if text.len() <= max {
        return false;
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    true
}
