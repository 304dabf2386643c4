//! People at their consoles: each asks for what the queue and a ticket's page ask for, in parallel as a browser does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callhome_shared::tls;
use callhome_tests::harness::world::{AGENT, World};
use rand::Rng as _;

/// A page and how many in a hundred visits are to it.
const PAGES: [(&str, u32); 5] = [
    ("queue", 35),
    ("queue by time left", 10),
    ("queue, all states, deep page", 5),
    ("search in Chinese", 10),
    ("ticket page", 40),
];

/// What a ticket's page asks for.
const PARTS: [&str; 6] = ["", "/clocks", "/calls", "/articles", "/notices", "/explain"];

/// What is searched for: controller, change the disk, a serial number, array.
const WORDS: [&str; 4] =
    ["\u{63a7}\u{5236}\u{5668}", "\u{66f4}\u{6362}\u{786c}\u{76d8}", "SN00042", "\u{9635}\u{5217}"];

struct Person {
    client: reqwest::Client,
    base: Arc<str>,
}

impl Person {
    async fn get(&self, path: &str) -> Result<String> {
        let answer = self.client.get(format!("{}/api/v1{path}", self.base)).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(text)
    }

    /// All at once; when the last is there the page is.
    async fn page(&self, paths: &[String]) -> Result<f64> {
        let started = Instant::now();
        let asked = paths.iter().map(|path| self.get(path));
        for answer in all_of(asked).await {
            answer?;
        }
        Ok(started.elapsed().as_secs_f64() * 1000.0)
    }
}

/// Waits for all of them.
async fn all_of<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = all.map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|context| {
        let mut ready = true;
        for (future, done) in &mut waiting {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, done)| done).collect()
}

/// Milliseconds of each page, by its name.
pub type Asked = BTreeMap<&'static str, Vec<f64>>;

/// Lets everybody work for a while.
pub async fn work(world: &World, cookies: Vec<String>, time: Duration) -> Result<Asked> {
    let roots = tls::read_certificates(&std::fs::read(world.ca())?)?;
    let base: Arc<str> = world.url().into();
    let end = Instant::now() + time;
    let mut people = Vec::new();
    for cookie in cookies {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("cookie", format!("callhome_session={cookie}").parse()?);
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(&roots, None)?)
            .default_headers(headers)
            .timeout(Duration::from_secs(60))
            .build()?;
        people.push(tokio::spawn(sit(Person { client, base: base.clone() }, end)));
    }
    let mut all = Asked::new();
    for person in people {
        for (page, mut ms) in person.await?? {
            all.entry(page).or_default().append(&mut ms);
        }
    }
    Ok(all)
}

/// One person's day.
async fn sit(person: Person, end: Instant) -> Result<Asked> {
    let mut asked = Asked::new();
    // Not everybody sits down in the same moment.
    tokio::time::sleep(Duration::from_millis(between(0, 6000))).await;
    // The live events stay open as long as the console.
    let live = person
        .client
        .get(format!("{}/api/v1/events", person.base))
        .timeout(Duration::from_secs(3600));
    let _live = live.send().await?.error_for_status()?;
    let mut seen: Vec<String> = numbers(&person.get("/tickets?state=open&limit=50").await?)?;
    ensure!(!seen.is_empty(), "an empty queue");
    while Instant::now() < end {
        let (page, paths) = visit(&seen);
        let ms = person.page(&paths).await.with_context(|| format!("{page}: {paths:?}"))?;
        asked.entry(page).or_default().push(ms);
        if page == "queue, all states, deep page" {
            seen = numbers(&person.get(&paths[0]).await?)?;
        }
        tokio::time::sleep(Duration::from_millis(between(2000, 6000))).await;
    }
    Ok(asked)
}

fn between(from: u64, to: u64) -> u64 {
    rand::rng().random_range(from..to)
}

fn visit(seen: &[String]) -> (&'static str, Vec<String>) {
    let mut dice = rand::rng();
    let mut at = dice.random_range(0..100);
    let mut page = PAGES[0].0;
    for (name, share) in PAGES {
        if at < share {
            page = name;
            break;
        }
        at -= share;
    }
    let list = |query: String| {
        vec![format!("/tickets?limit=50{query}"), "/views".into(), "/people".into()]
    };
    let paths = match page {
        "queue" => list("&state=open".into()),
        "queue by time left" => list("&state=open&sort=left".into()),
        "queue, all states, deep page" => {
            list(format!("&state=all&before=T-{}", dice.random_range(100_000..1_000_000)))
        }
        "search in Chinese" => {
            list(format!("&state=all&q={}", WORDS[dice.random_range(0..WORDS.len())]))
        }
        _ => {
            let number = &seen[dice.random_range(0..seen.len())];
            let mut paths: Vec<String> =
                PARTS.iter().map(|part| format!("/tickets/{number}{part}")).collect();
            paths.extend([
                "/people".into(),
                format!("/agents/{AGENT}"),
                format!("/devices?agent={AGENT}"),
            ]);
            paths
        }
    };
    (page, paths)
}

fn numbers(list: &str) -> Result<Vec<String>> {
    let list: serde_json::Value = serde_json::from_str(list)?;
    let items = list["items"].as_array().context("no items")?;
    Ok(items.iter().filter_map(|item| item["number"].as_str().map(str::to_owned)).collect())
}
