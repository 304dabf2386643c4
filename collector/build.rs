//! The console's files are compiled in: a new build of the console must give a new collector.

fn main() {
    // Cargo would run this again in every build while the folder is missing; an empty one is
    // watched. Where the sources cannot be written, the folder cannot appear either.
    let _ = std::fs::create_dir_all("web/dist");
    println!("cargo::rerun-if-changed=web/dist");
}
