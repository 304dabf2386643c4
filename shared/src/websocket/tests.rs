use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// All that a decoder makes of `input`, cut at `cuts`.
fn decode(role: Role, input: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, Vec<Event>), Violation> {
    let (mut decoder, mut buffer) = (Decoder::new(role), Vec::new());
    let (mut data, mut events) = (Vec::new(), Vec::new());
    let mut from = 0;
    for to in cuts.iter().copied().chain([input.len()]) {
        let to = to.clamp(from, input.len());
        buffer.extend_from_slice(&input[from..to]);
        from = to;
        while let Some((skipped, event)) = decoder.next(&mut buffer)? {
            buffer.drain(..skipped);
            if let Event::Data(count) = event {
                data.extend(buffer.drain(..count));
            } else {
                events.push(event);
            }
        }
    }
    Ok((data, events))
}

#[test]
fn the_key_of_the_rfc() {
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn frames_of_the_rfc() {
    // RFC 6455, §5.7, with binary frames.
    let masked = [0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(frame(Opcode::Binary, Some([0x37, 0xfa, 0x21, 0x3d]), b"Hello"), masked);
    assert_eq!(decode(Role::Server, &masked, &[]).unwrap().0, b"Hello");
    let pieces = [0x02, 0x03, 0x48, 0x65, 0x6c, 0x89, 0x01, 0x78, 0x80, 0x02, 0x6c, 0x6f];
    let (data, events) = decode(Role::Client, &pieces, &[]).unwrap();
    assert_eq!((data.as_slice(), events), (&b"Hello"[..], vec![Event::Ping(b"x".to_vec())]));
    assert_eq!(frame(Opcode::Binary, None, &[0; 256])[..4], [0x82, 0x7e, 0x01, 0x00]);
    assert_eq!(
        frame(Opcode::Binary, None, &[0; 65536])[..10],
        [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]
    );
}

#[test]
fn what_may_not_be_sent() {
    let mut large = vec![0x82, 0xff];
    large.extend_from_slice(&(MAX_FRAME_BYTES + 1).to_be_bytes());
    large.extend_from_slice(&[0; 4]);
    for (bytes, violation) in [
        (vec![0x81, 0x80, 0, 0, 0, 0], Violation::Kind(1)),
        (vec![0x83, 0x80, 0, 0, 0, 0], Violation::Kind(3)),
        (vec![0xc2, 0x80, 0, 0, 0, 0], Violation::Reserved),
        (vec![0x82, 0x00], Violation::Mask),
        (vec![0x80, 0x80, 0, 0, 0, 0], Violation::Order),
        (vec![0x02, 0x80, 0, 0, 0, 0, 0x82, 0x80, 0, 0, 0, 0], Violation::Order),
        (vec![0x09, 0x80, 0, 0, 0, 0], Violation::Control),
        (vec![0x89, 0xfe, 0, 126, 0, 0, 0, 0], Violation::Control),
        (large, Violation::TooLarge(MAX_FRAME_BYTES + 1)),
    ] {
        assert_eq!(decode(Role::Server, &bytes, &[]).unwrap_err(), violation, "{bytes:x?}");
    }
}

proptest! {
    #[test]
    fn prop_what_goes_in_comes_out_however_it_is_cut(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70_000), 0..4),
        cuts in prop::collection::vec(0usize..200_000, 0..12), client: bool,
        mask: [u8; 4],
    ) {
        let role = if client { Role::Client } else { Role::Server };
        let mask = (role == Role::Server).then_some(mask);
        let mut wire = Vec::new();
        for chunk in &chunks {
            wire.extend(frame(Opcode::Binary, mask, chunk));
            wire.extend(frame(Opcode::Pong, mask, b"between"));
        }
        wire.extend(frame(Opcode::Close, mask, &[3, 232]));
        let mut cuts = cuts;
        cuts.sort_unstable();
        let (data, events) = decode(role, &wire, &cuts).unwrap();
        prop_assert_eq!(data, chunks.concat());
        prop_assert_eq!(events.len(), chunks.len() + 1);
    }

    #[test]
    fn no_input_panics(input: Vec<u8>, cuts in prop::collection::vec(0usize..300, 0..6), client: bool) {
        let role = if client { Role::Client } else { Role::Server };
        let mut cuts = cuts;
        cuts.sort_unstable();
        let _ = decode(role, &input, &cuts);
    }
}

#[tokio::test]
async fn two_pumps_make_a_plain_stream_and_pings_are_answered() {
    let (a_net, b_net) = tokio::io::duplex(1000);
    let (a_plain, mut a) = tokio::io::duplex(1000);
    let (b_plain, mut b) = tokio::io::duplex(1000);
    let left = tokio::spawn(pump::pump(a_net, a_plain, Role::Client, Vec::new()));
    let head = frame(Opcode::Ping, Some([1, 2, 3, 4]), b"early");
    let right = tokio::spawn(pump::pump(b_net, b_plain, Role::Server, head));
    let sent: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    let copy = sent.clone();
    let writing = tokio::spawn(async move {
        a.write_all(&copy).await.unwrap();
        let mut back = [0; 5];
        a.read_exact(&mut back).await.unwrap();
        back
    });
    let mut got = vec![0; sent.len()];
    b.read_exact(&mut got).await.unwrap();
    assert_eq!(got, sent);
    b.write_all(b"there").await.unwrap();
    assert_eq!(&writing.await.unwrap(), b"there");
    // One end went: the other is told, and both pumps end well.
    left.await.unwrap().unwrap();
    right.await.unwrap().unwrap();
    assert_eq!(b.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn nonsense_ends_it_with_its_name() {
    let (net, mut peer) = tokio::io::duplex(1000);
    let (plain, _other) = tokio::io::duplex(1000);
    let running = tokio::spawn(pump::pump(net, plain, Role::Server, Vec::new()));
    peer.write_all(&[0x81, 0x80, 0, 0, 0, 0]).await.unwrap();
    let error = running.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("expected binary"), "{error}");
    let mut said = Vec::new();
    peer.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, frame(Opcode::Close, None, &1002_u16.to_be_bytes()));
}
