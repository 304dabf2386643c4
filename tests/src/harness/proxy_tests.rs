use super::*;

use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

/// A server that sends everything back and keeps what it got.
async fn echo() -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let got: Arc<Mutex<Vec<u8>>> = Arc::default();
    let kept = got.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let kept = kept.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    kept.lock().unwrap().extend_from_slice(&buffer[..n]);
                    if stream.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (port, got)
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port)).await.unwrap()
}

async fn ask(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await??;
    Ok(answer)
}

#[tokio::test]
async fn fair_weather_carries_and_counts() {
    let (port, _) = echo().await;
    let proxy = Proxy::start(port).await.unwrap();
    let mut stream = connect(&proxy).await;
    assert_eq!(ask(&mut stream, b"hello").await.unwrap(), b"hello");
    let counts = proxy.counts();
    assert_eq!((counts.connections, counts.carried), (1, 10));
}

#[tokio::test]
async fn a_reset_and_an_end_reach_the_client() {
    let (port, _) = echo().await;
    let proxy = Proxy::start(port).await.unwrap();
    let mut stream = connect(&proxy).await;
    ask(&mut stream, b"hello").await.unwrap();
    proxy.reset();
    let ended = timeout(PATIENCE, stream.read(&mut [0; 8])).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let mut stream = connect(&proxy).await;
    ask(&mut stream, b"hello").await.unwrap();
    proxy.finish();
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
    assert_eq!(proxy.counts().cut, 2);
}

#[tokio::test]
async fn a_half_open_connection_stays_dead_and_a_new_one_lives() {
    let (port, got) = echo().await;
    let proxy = Proxy::start(port).await.unwrap();
    let mut old = connect(&proxy).await;
    ask(&mut old, b"before").await.unwrap();
    proxy.set(Weather::HalfOpen);
    old.write_all(b"swallowed").await.unwrap();
    while proxy.counts().swallowed < 9 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    proxy.set(Weather::Fair);
    let mut new = connect(&proxy).await;
    assert_eq!(ask(&mut new, b"new").await.unwrap(), b"new");
    old.write_all(b"again").await.unwrap();
    while proxy.counts().swallowed < 14 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(*got.lock().unwrap(), b"beforenew");
}

#[tokio::test]
async fn one_bit_is_turned_over_and_then_no_more() {
    let (port, _) = echo().await;
    let proxy = Proxy::start(port).await.unwrap();
    proxy.set(Weather::Corrupt);
    let mut stream = connect(&proxy).await;
    // Once on the way up, once on the way down: that is the same bit, so look at the server's side.
    ask(&mut stream, b"aaaa").await.unwrap();
    assert_eq!(proxy.counts().corrupted, 2);
    assert_eq!(ask(&mut stream, b"bbbb").await.unwrap(), b"bbbb");
    assert_eq!(proxy.counts().corrupted, 2);
}

#[tokio::test]
async fn refused_connections_are_reset_and_counted() {
    let (port, _) = echo().await;
    let proxy = Proxy::start(port).await.unwrap();
    let mut old = connect(&proxy).await;
    ask(&mut old, b"hello").await.unwrap();
    proxy.set(Weather::Refuse);
    let mut refused = connect(&proxy).await;
    assert!(ask(&mut refused, b"hello").await.is_err());
    assert_eq!(proxy.counts().refused, 1);
    assert_eq!(ask(&mut old, b"still").await.unwrap(), b"still");
}

#[tokio::test]
async fn stranded_bytes_come_after_those_of_the_new_connection() {
    let (port, got) = echo().await;
    let proxy = Arc::new(Proxy::start(port).await.unwrap());
    let mut old = connect(&proxy).await;
    ask(&mut old, b"1").await.unwrap();
    let stranding = proxy.clone();
    let strand = tokio::spawn(async move {
        stranding.strand(Duration::from_millis(500), Duration::from_secs(1)).await;
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    old.write_all(b"old").await.unwrap();
    strand.await.unwrap();
    assert!(timeout(PATIENCE, old.read(&mut [0; 8])).await.unwrap().is_err(), "reset");
    let mut new = connect(&proxy).await;
    ask(&mut new, b"new").await.unwrap();
    while proxy.counts().late < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while got.lock().unwrap().len() < 7 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(*got.lock().unwrap(), b"1newold");
}
