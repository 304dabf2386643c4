//! Live events.

use std::time::Duration;

use callhome_shared::time::Time;
use reqwest::Method;
use serde_json::json;

use super::site::{PASSWORD, Site, refusal};
use crate::api::rights::Role;
use crate::api::server::Limits;
use crate::flow::Event;

/// Reads the stream until `wanted` is in it; what was read.
async fn read_until(stream: &mut reqwest::Response, wanted: &str) -> String {
    let mut seen = String::new();
    let reading = async {
        while let Some(chunk) = stream.chunk().await.unwrap() {
            seen.push_str(&String::from_utf8_lossy(&chunk));
            if seen.contains(wanted) {
                return true;
            }
        }
        false
    };
    let found = tokio::time::timeout(Duration::from_secs(10), reading).await;
    assert_eq!(found, Ok(true), "{wanted} is not in {seen:?}");
    seen
}

/// Waits for the end of the stream.
async fn ends(mut stream: reqwest::Response) {
    let reading = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("the stream ends");
}

#[tokio::test]
async fn what_is_done_shows_at_once_in_another_browser() {
    let site = Site::start().await;
    let desk = site.logged_in(Role::ServiceDesk).await;
    let engineer = site.logged_in(Role::SupportEngineer).await;
    let number = site.ticket("PSU 2 failed", "major").await;
    let request = desk.request(Method::GET, "/api/v1/events").header("accept-encoding", "gzip");
    let mut stream = request.send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["cache-control"], "no-store");
    assert!(!stream.headers().contains_key("content-encoding"), "gzip would hold events back");
    read_until(&mut stream, ": alive\n\n").await;

    let path = format!("/api/v1/tickets/{number}/transitions");
    engineer.post(&path, json!({ "to": "in_diagnosis", "version": 1 })).await;
    let seen = read_until(&mut stream, "\n\n").await;
    assert!(seen.contains("event: ticket\n"), "{seen}");
    assert!(seen.contains(&format!("data: {{\"number\":\"{number}\",\"at\":\"20")), "{seen}");

    let at = Time::now();
    site.events.send(Event::Alarm { alarm_id: "al".into(), at }).unwrap();
    read_until(&mut stream, "event: alarm\ndata: {\"alarm_id\":\"al\"").await;
    site.events.send(Event::Agent { id: "a-1".into(), at }).unwrap();
    read_until(&mut stream, "event: agent\ndata: {\"id\":\"a-1\"").await;
    assert!(site.metrics.text().contains("callhome_collector_event_streams 1\n"));
}

#[tokio::test]
async fn who_falls_behind_is_told_to_load_anew() {
    let site = Site::with(Limits::default(), 4).await;
    let browser = site.logged_in(Role::Manager).await;
    let mut stream = browser.get("/api/v1/events").await;
    read_until(&mut stream, ": alive").await;
    // Sent without a pause: the stream's task has no turn in between.
    for n in 0..100 {
        let _ = site.events.send(Event::Ticket { number: format!("T-{n}"), at: Time::now() });
    }
    read_until(&mut stream, "event: resync\ndata: {\"at\":").await;
    read_until(&mut stream, "T-99").await;
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let site = Site::start().await;
    let lan = site.logged_in(Role::Expert).await;
    let mut other = site.browser();
    other.log_in("u-expert", PASSWORD).await;
    let mut stream = lan.get("/api/v1/events").await;
    let mut others = other.get("/api/v1/events").await;
    read_until(&mut stream, ": alive").await;
    read_until(&mut others, ": alive").await;
    lan.post("/api/v1/logout", json!({})).await;
    ends(stream).await;
    site.events.send(Event::Agent { id: "a-1".into(), at: Time::now() }).unwrap();
    read_until(&mut others, "a-1").await;
}

#[tokio::test]
async fn one_user_has_ten_streams_and_the_place_comes_back() {
    let site = Site::start().await;
    let lan = site.logged_in(Role::Expert).await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        let stream = lan.get("/api/v1/events").await;
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    assert_eq!(refusal(lan.get("/api/v1/events").await).await, (429, "too_many_streams".into()));
    streams.pop();
    for _ in 0..50 {
        let again = lan.get("/api/v1/events").await;
        if again.status() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the place did not come back");
}

#[tokio::test]
async fn a_shutdown_ends_streams_and_lets_requests_end() {
    let mut site = Site::start().await;
    let lan = site.logged_in(Role::Expert).await;
    let mut stream = lan.get("/api/v1/events").await;
    read_until(&mut stream, ": alive").await;
    let server = site.stop();
    ends(stream).await;
    let drained = tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap();
    assert_eq!(drained.cut_off, 0);
    assert!(site.health.stuck().is_empty());
}
