//! A collector whose disk is full: it does not begin, says why, and begins when there is room again. (One
//! that runs goes on, see the storms.)

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::storm::ground::{Disks, Filler, can_mount};
use callhome_tests::harness::until;
use callhome_tests::harness::world::{Broker, Ports, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_does_not_begin_on_a_full_disk_and_says_so() -> Result<()> {
    let dir = tempfile::tempdir()?;
    if !can_mount(&dir.path().join("probe")).await? {
        println!("SKIPPED: mounting is not allowed here");
        return Ok(());
    }
    let home = dir.path().join("world");
    let disks = Disks::mount(&home).await?.context("mounts were allowed a moment ago")?;
    let mut world = World::create(&home, Broker::Embedded, Ports::free()?).await?;
    world.take_collector().context("no collector")?.kill9().await?;
    // With the files that a killed one leaves, and without the one that SQLite makes first.
    for companion in [None, Some("callhome.db-shm")] {
        if let Some(name) = companion {
            // A collector that came as far as its own orderly end took it away itself.
            match std::fs::remove_file(world.data_dir().join(name)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
                _ => {}
            }
        }
        let mut filler = Filler::new(&world.data_dir())?;
        filler.fill();
        world.spawn_collector().await?;
        let status = until("it ends", Duration::from_secs(60), Duration::from_millis(50), || {
            let ended = world.take_ended();
            async { Ok(ended?.pop()) }
        })
        .await?;
        let log = std::fs::read_to_string(world.dir.join("collector.log"))?;
        let last = log.lines().last().unwrap_or_default();
        println!("{}: {last}", status.1);
        ensure!(status == ("collector", "exit status: 1".into()), "{status:?}: {last}");
        ensure!(last.contains("the disk is full"), "{last}");
        let place = world.data_dir().display().to_string();
        ensure!(last.contains(&place), "the place is not named: {last}");
    }
    world.start_collector().await.context("with room it begins")?;
    world.stop().await?;
    drop(disks);
    Ok(())
}
