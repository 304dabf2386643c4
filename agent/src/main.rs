//! callhome-agent.

fn main() {
    print!("{}", callhome_agent::config::schema());
}
