//! What one agent may use, and that it costs the others nothing.

use super::*;

#[tokio::test]
async fn idle_connections_block_nobody_and_are_limited() {
    let house = House::start_with(&["a"], 40, 200, 10).await;
    let mut idle = Vec::new();
    for _ in 0..9 {
        idle.push(tokio::net::TcpStream::connect(house.address).await.unwrap());
    }
    let started = std::time::Instant::now();
    house.connect("a").await;
    assert!(started.elapsed() < Duration::from_secs(5));
    // 40 places, a quarter for one source: 9 idle ones and what still closes.
    for _ in 0..5 {
        idle.push(tokio::net::TcpStream::connect(house.address).await.unwrap());
    }
    assert!(
        Client::connect(house.options("a", Some(House::certificate(&house.ca, "a").0)))
            .await
            .is_err()
    );
    assert!(
        house
            .metrics
            .text()
            .contains("connections_refused_total{listener=\"mqtt\",reason=\"source\"}")
    );
}

#[tokio::test]
async fn one_agent_has_few_connections_and_bytes_have_a_pace() {
    let mut house = House::start_with(&["a", "b"], 1000, 1000, 1000).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(house.connect("a").await);
    }
    // Each new one takes the name over; only once they are gone may a fifth come.
    let mut storm = 0;
    while storm < 200 {
        let (identity, _) = House::certificate(&house.ca, "a");
        if Client::connect(house.options("a", Some(identity))).await.is_err() {
            break;
        }
        storm += 1;
    }
    assert!((40..100).contains(&storm), "{storm} reconnects at once");
    assert!(house.metrics.text().contains("reason=\"agent-pace\"} 1"), "{}", house.metrics.text());
    let mut b = house.connect("b").await;
    let payload = "x".repeat(100_000);
    let started = std::time::Instant::now();
    for _ in 0..30 {
        b.publish("callhome/v1/b/up/bulk", &payload).await.unwrap();
    }
    // Two million bytes at once, one million more at a million a second.
    assert!(started.elapsed() > Duration::from_millis(700), "{:?}", started.elapsed());
    assert!(house.counted("slowed-down-bytes"));
    for _ in 0..30 {
        assert_eq!(house.next().await.payload.len(), payload.len());
    }
}

/// Bytes that are no MQTT, from somebody with a good certificate: each ends its own connection.
#[tokio::test]
async fn fuzz_noise_after_the_handshake() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut house = House::start(&["a", "b"]).await;
    let mut b = house.connect("b").await;
    let connector = {
        let (identity, _) = House::certificate(&house.ca, "a");
        let roots = [house.ca.certificate().clone()];
        tokio_rustls::TlsConnector::from(Arc::new(
            tls::client_config(&roots, Some(identity)).unwrap(),
        ))
    };
    let good = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01a";
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..60 {
        let mut noise: Vec<u8> = (0..200)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed.to_le_bytes()[0]
            })
            .collect();
        // From nothing good to a good CONNECT before the noise.
        noise.splice(0..0, good[..(round % 4) * 5 + usize::from(round % 4 == 3)].iter().copied());
        let tcp = tokio::net::TcpStream::connect(house.address).await.unwrap();
        let mut stream = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        let _ = stream.write_all(&noise).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        assert!(tokio::time::timeout(Duration::from_secs(20), reading).await.is_ok(), "{round}");
        // Sixty at once are an agent's, then one a second.
    }
    let reason = b.publish("callhome/v1/b/up/event", "mine").await.unwrap();
    assert_eq!(reason, PubAckReason::Success);
    assert_eq!(&house.next().await.payload[..], b"mine");
}

#[tokio::test]
async fn too_large_and_retained() {
    let mut house = House::start(&["a"]).await;
    let mut a = house.connect("a").await;
    a.client.publish("callhome/v1/a/up/event", QoS::AtLeastOnce, true, "retained").await.unwrap();
    let reason = a
        .until(|p| match p {
            Packet::PubAck(ack) => Some(ack.reason),
            _ => None,
        })
        .await
        .unwrap();
    assert_eq!(reason, PubAckReason::QuotaExceeded);
    let large = "x".repeat(200 * 1024);
    let closed = a.publish("callhome/v1/a/up/event", &large).await.is_err();
    assert!(closed, "an oversized packet ends the connection");
    let mut a = house.connect("a").await;
    let fits = "x".repeat(callhome_shared::limits::MAX_PAYLOAD_BYTES);
    assert_eq!(a.publish("callhome/v1/a/up/event", &fits).await.unwrap(), PubAckReason::Success);
    assert_eq!(house.next().await.payload.len(), fits.len());
    assert!(house.up.try_recv().is_err());
}

#[tokio::test]
async fn last_will_and_shutdown() {
    let mut house = House::start(&["a"]).await;
    let (identity, _) = House::certificate(&house.ca, "a");
    let mut options = house.options("a", Some(identity));
    let topic = "callhome/v1/a/up/heartbeat";
    options.set_last_will(LastWill::new(topic, "gone", QoS::AtLeastOnce, false, None));
    let a = Client::connect(options.clone()).await.unwrap();
    drop(a);
    assert_eq!(&house.next().await.payload[..], b"gone");
    let mut a = Client::connect(options).await.unwrap();
    house.shutdown.cancel();
    a.ended().await;
    assert_eq!(&house.next().await.payload[..], b"gone");
    tokio::time::timeout(Duration::from_secs(5), &mut house.done).await.unwrap().unwrap();
    assert!(house.up.recv().await.is_none(), "the hand-over is closed");
    assert!(tokio::net::TcpStream::connect(house.address).await.is_err());
}

#[tokio::test]
async fn a_slow_store_holds_one_agent_back_and_not_another_ones_pings() {
    let mut house = House::start_with(&["a", "b"], 100, 10_000, 1).await;
    let mut a = house.connect("a").await;
    let sent = 120;
    let topic = "callhome/v1/a/up/event";
    let client = a.client.clone();
    tokio::spawn(async move {
        for n in 0..sent {
            client.publish(topic, QoS::AtLeastOnce, false, n.to_string()).await.unwrap();
        }
    });
    let mut acked = 0;
    let polling = tokio::spawn(async move {
        while acked < sent {
            if a.until(|p| matches!(p, Packet::PubAck(_)).then_some(())).await.is_err() {
                break;
            }
            acked += 1;
        }
        acked
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!polling.is_finished(), "nobody takes deliveries: publishes are held back");
    house.connect("b").await;
    let mut seen = Vec::new();
    for _ in 0..sent {
        seen.push(String::from_utf8(house.next().await.payload.to_vec()).unwrap());
    }
    let wanted: Vec<String> = (0..sent).map(|n| n.to_string()).collect();
    assert_eq!(seen, wanted, "all, in order, once");
    assert_eq!(polling.await.unwrap(), sent);
}

#[tokio::test]
async fn too_fast_is_slowed_down_and_nothing_is_lost() {
    let mut house = House::start_with(&["a"], 10, 20, 1000).await;
    let mut a = house.connect("a").await;
    let started = std::time::Instant::now();
    for n in 0..60 {
        a.publish("callhome/v1/a/up/event", &n.to_string()).await.unwrap();
    }
    // 40 at once (two seconds' worth), 20 more at 20 a second.
    assert!(started.elapsed() > Duration::from_millis(800), "{:?}", started.elapsed());
    for n in 0..60 {
        assert_eq!(house.next().await.payload, n.to_string());
    }
    assert!(house.counted("slowed-down"));
}
