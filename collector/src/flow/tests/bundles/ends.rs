//! How bundles end: wrong hashes, what is let go, two collectors, an envelope that names one.

use super::*;

pub(in crate::flow::tests) async fn a_wrong_hash_is_found_three_times(world: World) {
    let (desk, _dir) = start(&world);
    let (number, _) = ticket(&world, &mut Agent::new("a-1"), "PSU 1").await;
    let bytes = noise(70_000);
    let said = declaration(&number, &bytes);
    let mut wrong = bytes.clone();
    wrong[69_999] ^= 1;
    assert_eq!(desk.declare("a-1", &said).await.status, 201);
    for attempt in 1..=3 {
        desk.upload("a-1", said.id, &wrong).await;
        let got = desk.complete("a-1", said.id).await;
        if attempt < 3 {
            got.is(422, "wrong_hash");
            assert_eq!((got.offset, desk.head("a-1", said.id).await.offset), (Some(0), Some(0)));
        } else {
            got.is(410, "refused");
        }
        assert!(!desk.part("a-1", said.id).exists());
    }
    assert_eq!(desk.head("a-1", said.id).await.status, 410);
    desk.patch("a-1", said.id, 0, &bytes).await.is(410, "refused");
    let known = desk.declare("a-1", &said).await;
    assert_eq!((known.status, known.standing().state), (200, State::Refused));
    assert!(known.standing().reason.is_some_and(|why| why.contains("SHA-256")));
    assert_eq!(desk.delete("a-1", said.id).await.status, 204);
    let shown = world.ticket().await;
    assert!(!world.timeline(&shown).await.contains(&"bundle".to_owned()));
    // One that is right the second time is fine.
    let said = declaration(&number, &bytes);
    desk.declare("a-1", &said).await;
    desk.upload("a-1", said.id, &wrong).await;
    desk.complete("a-1", said.id).await.is(422, "wrong_hash");
    desk.upload("a-1", said.id, &bytes).await;
    assert_eq!(desk.complete("a-1", said.id).await.status, 200);
}

pub(in crate::flow::tests) async fn what_is_over_goes_and_what_differs_is_told(world: World) {
    let (desk, _dir) = start(&world);
    let (number, _) = ticket(&world, &mut Agent::new("a-1"), "PSU 1").await;
    let bytes = noise(5000);
    let said: Vec<_> = (0..4).map(|_| declaration(&number, &bytes)).collect();
    for said in &said {
        assert_eq!(desk.declare("a-1", said).await.status, 201);
        desk.upload("a-1", said.id, &bytes).await;
    }
    let [kept, lost, idle, crashed] = [0, 1, 2, 3].map(|n: usize| said[n].id);
    assert_eq!(desk.complete("a-1", kept).await.status, 200);
    assert_eq!(desk.complete("a-1", lost).await.status, 200);

    // Killed between the file's final name and the database: asked again it is complete.
    let files = Files::new(&desk.settings.dir, 0);
    let ended = files.finish("a-1", crashed, 5000, &said[3].sha256).unwrap();
    assert_eq!(ended, Ended::Right);
    let desk = Desk::open(&world, desk.settings.clone(), "main");
    assert_eq!(desk.head("a-1", crashed).await.offset, Some(5000));
    assert_eq!(desk.complete("a-1", crashed).await.status, 200);

    // Rows and files: one file is gone, some belong to nothing.
    std::fs::remove_file(desk.file("a-1", lost)).unwrap();
    let stray = desk.part("a-1", new_uuid());
    std::fs::write(&stray, "x").unwrap();
    let unknown = desk.file("a-1", new_uuid());
    std::fs::write(&unknown, "x").unwrap();
    let foreign = desk.settings.dir.join(agent_hash("a-1")).join("README");
    std::fs::write(&foreign, "x").unwrap();
    let found = desk.bundles.compare(Time::now()).await.unwrap_or_else(|f| panic!("{}", f.tell()));
    assert_eq!((found.missing, found.removed, found.unknown), (1, 1, 1));
    assert!(!stray.exists() && unknown.exists() && foreign.exists());
    let row = bundles::get(&world.db, &lost.to_string()).await.unwrap().unwrap();
    assert!(row.missing);
    let text = world.metrics.text();
    assert!(text.contains("bundles{state=\"missing\"} 1"), "{text}");
    let week = Time::now().plus_ms(8 * 24 * 3600 * 1000);
    let found = desk.bundles.compare(week).await.unwrap_or_else(|f| panic!("{}", f.tell()));
    assert_eq!((found.removed, found.unknown, unknown.exists()), (1, 0, false));
    std::fs::write(desk.file("a-1", lost), &bytes).unwrap();
    let found = desk.bundles.compare(Time::now()).await.unwrap_or_else(|f| panic!("{}", f.tell()));
    assert_eq!(found.missing, 0, "it is back");

    // An hour later the idle upload goes, a day later everything.
    let sweep = async |hours: i64| {
        let then = Time::now().plus_ms(hours * 3_600_000);
        desk.bundles.sweep(then).await.unwrap_or_else(|f| panic!("{}", f.tell()));
    };
    sweep(0).await;
    assert_eq!(desk.head("a-1", idle).await.status, 204);
    sweep(2).await;
    assert_eq!(desk.head("a-1", idle).await.status, 404);
    assert!(!desk.part("a-1", idle).exists() && desk.file("a-1", kept).exists());
    assert_eq!(desk.declare("a-1", &said[2]).await.status, 201, "declared again it begins anew");
    sweep(25).await;
    for id in [kept, lost, crashed] {
        let row = bundles::get(&world.db, &id.to_string()).await.unwrap().unwrap();
        assert_eq!(
            (row.state.as_str(), row.weight, row.removed_at.is_some()),
            ("removed", 0, true)
        );
        assert!(!desk.file("a-1", id).exists());
    }
    let head = desk.head("a-1", kept).await;
    assert_eq!((head.status, head.complete.as_deref()), (204, Some("?1")), "the agent is done");
}

pub(in crate::flow::tests) async fn two_collectors_do_not_mix(world: World) {
    let (one, dir) = start(&world);
    let two = Desk::open(&world, room(&dir.path().join("other")), "second");
    let (number, _) = ticket(&world, &mut Agent::new("a-1"), "PSU 1").await;
    let bytes = noise(9000);
    let said = declaration(&number, &bytes);
    assert_eq!(one.declare("a-1", &said).await.status, 201);
    one.upload("a-1", said.id, &bytes[..4000]).await;
    two.declare("a-1", &said).await.is(421, "other_collector");
    two.patch("a-1", said.id, 0, &bytes).await.is(421, "other_collector");
    two.complete("a-1", said.id).await.is(421, "other_collector");
    two.delete("a-1", said.id).await.is(421, "other_collector");
    assert_eq!(two.head("a-1", said.id).await.status, 421);
    // The first one has been gone for a while: the second takes it over, from the beginning.
    let past = Time::now().plus_ms(-20 * 60 * 1000);
    bundles::note_progress(&world.db, &said.id.to_string(), 4000, past).await.unwrap();
    let over = two.declare("a-1", &said).await;
    assert_eq!((over.status, over.offset), (200, Some(0)));
    two.upload("a-1", said.id, &bytes).await;
    assert_eq!(two.complete("a-1", said.id).await.status, 200);
    one.patch("a-1", said.id, 4000, &bytes[4000..]).await.is(409, "wrong_offset");
    let found = one.bundles.compare(Time::now()).await.unwrap_or_else(|f| panic!("{}", f.tell()));
    assert_eq!((found.removed, found.missing), (1, 0), "the first one's part belongs to nothing");
    assert!(!one.part("a-1", said.id).exists() && two.file("a-1", said.id).exists());

    // With one directory either of them goes on.
    let shared = settings::Bundles { shared: true, ..room(&dir.path().join("shared")) };
    let (one, two) =
        (Desk::open(&world, shared.clone(), "main"), Desk::open(&world, shared, "second"));
    let said = declaration(&number, &bytes);
    assert_eq!(one.declare("a-1", &said).await.status, 201);
    one.upload("a-1", said.id, &bytes[..4000]).await;
    assert_eq!(two.patch("a-1", said.id, 4000, &bytes[4000..]).await.offset, Some(9000));
    let both = futures([&one, &two].map(|desk| desk.complete("a-1", said.id)).into_iter()).await;
    assert!(both.iter().any(|got| got.status == 200));
    for desk in [&one, &two] {
        assert_eq!(desk.complete("a-1", said.id).await.status, 200);
    }
    let shown = world.ticket().await;
    let arrived = world.timeline(&shown).await;
    assert_eq!(arrived.iter().filter(|what| *what == "bundle").count(), 2, "{arrived:?}");
}

pub(in crate::flow::tests) async fn an_envelope_names_a_bundle_once(world: World) {
    let (desk, _dir) = start(&world);
    let mut agent = Agent::new("a-1");
    let (number, alarm_id) = ticket(&world, &mut agent, "PSU 1").await;
    let bytes = noise(100);
    let mut said = declaration(&number, &bytes);
    said.subject.alarm_id = Some(alarm_id);
    let by_ticket = declaration(&number, &bytes);
    for said in [&said, &by_ticket] {
        assert_eq!(desk.declare("a-1", said).await.status, 201);
        desk.upload("a-1", said.id, &bytes).await;
        assert_eq!(desk.complete("a-1", said.id).await.status, 200);
    }
    let told = agent.send(Kind::Evidence, &Told::new(said.reference()));
    let plain = agent.send(Kind::Evidence, &Told::new(by_ticket.reference()));
    let mut unknown = said.reference();
    unknown.id = new_uuid();
    let unknown = agent.send(Kind::Evidence, &Told::new(unknown));
    let answers = world.feed([told.clone(), told, plain, unknown]).await;
    assert_eq!((answers.last_seq(), answers.reasons()), (4, vec!["unknown-bundle"]));
    let text = world.metrics.text();
    assert!(text.contains("rejects_total{reason=\"unknown-bundle\"} 1"), "{text}");
    let kept =
        "SELECT COUNT(*) AS n FROM rejects WHERE agent_id = 'a-1' AND reason = 'unknown-bundle'";
    assert_eq!(world.count(kept).await, 1, "kept, for people to see");
    let row = bundles::get(&world.db, &said.id.to_string()).await.unwrap().unwrap();
    let at = row.told_at.unwrap();
    let again = agent.send(Kind::Evidence, &Told::new(said.reference()));
    world.feed([again]).await;
    let row = bundles::get(&world.db, &said.id.to_string()).await.unwrap().unwrap();
    assert_eq!(row.told_at, Some(at), "the first time counts");
    let row = bundles::get(&world.db, &by_ticket.id.to_string()).await.unwrap().unwrap();
    assert!(row.told_at.is_some());
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM evidence").await, 0);
    let shown = world.ticket().await;
    let arrived = world.timeline(&shown).await;
    assert_eq!(arrived.iter().filter(|what| *what == "bundle").count(), 2);

    // What is wrong is refused with the place; another agent's bundle is not touched.
    let mut other = Agent::new("a-2");
    let bad = json!({ "bundle": { "id": new_uuid(), "name": "../x", "size": 1,
        "sha256": said.sha256, "subject": { "ticket": number } } });
    let bad = agent.send(Kind::Evidence, &bad);
    let nothing = agent.send(Kind::Evidence, &json!({ "evidence": [] }));
    let stolen = other.send(
        Kind::Evidence,
        &Told::new(
            Declaration {
                subject: Subject { ticket: Some(number), alarm_id: None },
                ..said.clone()
            }
            .reference(),
        ),
    );
    let answers = world.feed([bad, nothing, stolen]).await;
    assert_eq!(answers.reasons(), ["bad-payload", "bad-payload", "unknown-bundle"]);
    let row = bundles::get(&world.db, &said.id.to_string()).await.unwrap().unwrap();
    assert_eq!(row.told_at, Some(at));
}
