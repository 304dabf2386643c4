//! The configuration as it is written: names, types and defaults. What the values mean together is
//! checked in [`super::check`].

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// The configuration of callhome-collector.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "callhome-collector")]
pub(super) struct File {
    /// The collector itself.
    pub(super) collector: Collector,
    /// Where the data are.
    pub(super) database: Database,
    /// Which broker carries the messages.
    pub(super) mqtt: Mqtt,
    /// API, console, enrolment.
    pub(super) https: Https,
    /// Lives of certificates, and what comes from a PKI of yours.
    pub(super) certificates: Certificates,
    /// Evidence bundles that agents upload.
    pub(super) bundle: Bundle,
    /// What is promised of tickets.
    pub(super) service: Service,
    /// Which alarms become tickets.
    pub(super) diagnosis: Diagnosis,
    /// What the labels of Alertmanager's alerts mean.
    pub(super) alertmanager: Alertmanager,
    /// Where notices go.
    pub(super) notice: Notice,
    /// Log-in by an OpenID provider.
    pub(super) oidc: Oidc,
}

/// Log-in by an OpenID provider.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Oidc {
    /// The provider, as it calls itself: `https://id.example.com/realms/support`. Default: none.
    #[schemars(with = "String")]
    pub(super) issuer: Option<Spanned<String>>,
    /// This collector's id at the provider.
    #[schemars(with = "String")]
    pub(super) client_id: Option<Spanned<String>>,
    /// File whose first line is its secret there. Default: none, a public client with PKCE alone.
    #[schemars(with = "String")]
    pub(super) client_secret_file: Option<Spanned<String>>,
    /// What the button on the log-in page says. Default: what the console's language says.
    #[schemars(with = "String", length(min = 1, max = 40))]
    pub(super) label: Option<Spanned<String>>,
    /// The claim of the ID token with groups or roles. Default `groups`; `realm_access.roles` goes into an object.
    #[schemars(with = "String")]
    pub(super) role_claim: Option<Spanned<String>>,
    /// Which role a value of that claim gives. Who has none is not let in. Default: nothing.
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    pub(super) roles: std::collections::BTreeMap<String, Spanned<String>>,
    /// Scopes that are asked for, beside `openid`. Default `["openid", "profile"]`.
    #[schemars(with = "Vec<String>", length(max = 20))]
    pub(super) scopes: Option<Vec<Spanned<String>>>,
    /// PEM file of a CA that the provider's certificate may be from, beside the system's.
    #[schemars(with = "String")]
    pub(super) ca_file: Option<Spanned<String>>,
    /// Who may log in by password all the same: `all` (the default) or `administrators`.
    #[schemars(with = "String")]
    pub(super) password_login: Option<Spanned<String>>,
}

/// What the labels of Alertmanager's alerts mean.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Alertmanager {
    /// The first of these labels that an alert has names the device. Default: `instance`, `host`, `hostname`, `node`, `device`.
    #[schemars(with = "Vec<String>", length(max = 50))]
    pub(super) device_labels: Option<Vec<Spanned<String>>>,
    /// Whether the port of `host:port` is left out of the device's name. Default true.
    #[schemars(with = "bool")]
    pub(super) strip_port: Option<bool>,
    /// The first of these labels that an alert has names the site. Default: `site`, `datacenter`.
    #[schemars(with = "Vec<String>", length(max = 50))]
    pub(super) site_labels: Option<Vec<Spanned<String>>>,
    /// The site of alerts that name none. Default: none.
    #[schemars(with = "String")]
    pub(super) site: Option<Spanned<String>>,
    /// The first of these labels that an alert has, and that does not name the device, names the part. Default:
    /// `resource`, `interface`, `ifName`, `ifDescr`, `mountpoint`, `disk`, `device`, `name`.
    #[schemars(with = "Vec<String>", length(max = 50))]
    pub(super) resource_labels: Option<Vec<Spanned<String>>>,
    /// The label with the device's serial number. Default `serial`.
    #[schemars(with = "String")]
    pub(super) serial_label: Option<Spanned<String>>,
    /// The label with the severity. Default `severity`.
    #[schemars(with = "String")]
    pub(super) severity_label: Option<Spanned<String>>,
    /// What its values mean, upper or lower case: `critical`, `major`, `minor`, `warning`, `indeterminate`. In place
    /// of the usual ones, which docs/collector-config.md lists.
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    pub(super) severities: Option<std::collections::BTreeMap<String, Spanned<String>>>,
    /// The severity of alerts with another value, or none. Default `warning`.
    #[schemars(with = "String")]
    pub(super) default_severity: Option<Spanned<String>>,
}

/// Which alarms become tickets, and what follows from what.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Diagnosis {
    /// Rules in their order; the first that fits an alarm decides. Without one: a ticket at once.
    #[schemars(with = "Vec<Rule>")]
    pub(super) rule: Vec<Spanned<Rule>>,
    /// How long an alarm that a lost parent could explain waits for its cause, seconds. Default 30; 0: not at all.
    #[schemars(with = "u64", range(min = 0, max = 600))]
    pub(super) wait_for_cause_s: Option<Spanned<i64>>,
    /// How far from one another a cause and its consequences may begin, seconds. Default 600.
    #[schemars(with = "u64", range(min = 1, max = 86_400))]
    pub(super) within_s: Option<Spanned<i64>>,
    /// So many lives of a fault within the window are flapping. Default 5.
    #[schemars(with = "u64", range(min = 2, max = 1000))]
    pub(super) flap_lives: Option<Spanned<i64>>,
    /// That window, seconds. Default 3600.
    #[schemars(with = "u64", range(min = 1, max = 604_800))]
    pub(super) flap_window_s: Option<Spanned<i64>>,
    /// The same fault on so many sites within the window is a problem of the fleet. Default 3.
    #[schemars(with = "u64", range(min = 2, max = 10_000))]
    pub(super) fleet_sites: Option<Spanned<i64>>,
    /// That window, seconds. Default 3600.
    #[schemars(with = "u64", range(min = 1, max = 604_800))]
    pub(super) fleet_window_s: Option<Spanned<i64>>,
}

/// A rule of diagnosis. What is not given fits everything; in texts `*` stands for anything.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rule {
    /// Its name: it is told as the reason.
    #[schemars(with = "String")]
    pub(super) name: Option<Spanned<String>>,
    /// Severities: `critical`, `major`, `minor`, `warning`, `indeterminate`.
    #[schemars(with = "Vec<String>")]
    pub(super) severity: Vec<Spanned<String>>,
    /// Alarm types.
    #[serde(rename = "type")]
    #[schemars(with = "Vec<String>")]
    pub(super) types: Vec<Spanned<String>>,
    /// Rules of agents, `pack/id` or the id alone.
    #[serde(rename = "rule")]
    #[schemars(with = "Vec<String>")]
    pub(super) rules: Vec<Spanned<String>>,
    /// Sites.
    #[schemars(with = "Vec<String>")]
    pub(super) site: Vec<Spanned<String>>,
    /// Devices, by id or name.
    #[schemars(with = "Vec<String>")]
    pub(super) device: Vec<Spanned<String>>,
    /// `open`: a ticket at once. `hold`: a ticket if it still stands after `hold_s`. `never`: none.
    #[schemars(with = "String")]
    pub(super) then: Option<Spanned<String>>,
    /// With `hold`: seconds. Default 60.
    #[schemars(with = "u64", range(min = 1, max = 86_400))]
    pub(super) hold_s: Option<Spanned<i64>>,
}

/// Where notices go: mail to people, messages to receivers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Notice {
    /// Mail server: `smtps://host:465` (TLS), `smtp://host:587` (STARTTLS) or `smtp-plain://host:25`. Default: no mail.
    #[schemars(with = "String")]
    pub(super) mail_server: Option<Spanned<String>>,
    /// Address that mail is from.
    #[schemars(with = "String")]
    pub(super) mail_from: Option<Spanned<String>>,
    /// Whom to log in as at the mail server.
    #[schemars(with = "String")]
    pub(super) mail_user: Option<Spanned<String>>,
    /// File whose first line is the password.
    #[schemars(with = "String")]
    pub(super) mail_password_file: Option<Spanned<String>>,
    /// PEM file of a CA that the mail server's certificate may be from, beside the system's.
    #[schemars(with = "String")]
    pub(super) mail_ca_file: Option<Spanned<String>>,
    /// Receivers of messages: at most 50.
    pub(super) outlet: Vec<NoticeOutlet>,
}

/// A receiver of messages.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NoticeOutlet {
    /// Its name: a-z, digits, `_`, `-`.
    #[schemars(with = "String")]
    pub(super) name: Option<Spanned<String>>,
    /// `webhook`, `alertmanager`, `wecom`, `dingtalk` or `feishu`.
    #[schemars(with = "String")]
    pub(super) kind: Option<Spanned<String>>,
    /// Its address, where that is no secret.
    #[schemars(with = "String")]
    pub(super) url: Option<Spanned<String>>,
    /// File whose first line is its address: that of a robot is a secret.
    #[schemars(with = "String")]
    pub(super) url_file: Option<Spanned<String>>,
    /// File whose first line is the secret with which messages are signed.
    #[schemars(with = "String")]
    pub(super) secret_file: Option<Spanned<String>>,
    /// `zh-CN` (the default) or `en`.
    #[schemars(with = "String")]
    pub(super) language: Option<Spanned<String>>,
    /// What it is told. Default `["called", "nobody", "call_expired", "breach", "approval", "major"]`.
    #[schemars(with = "Vec<String>")]
    pub(super) events: Option<Vec<Spanned<String>>>,
    /// When what is not urgent waits, `22:00-07:00` for instance. Default: never.
    #[schemars(with = "String")]
    pub(super) quiet_hours: Option<Spanned<String>>,
    /// By whose clocks: IANA time zone.
    #[schemars(with = "String")]
    pub(super) quiet_time_zone: Option<Spanned<String>>,
    /// Messages a minute; what is over is folded into one. Default 20.
    #[schemars(with = "u32", range(min = 1, max = 600))]
    pub(super) per_minute: Option<Spanned<i64>>,
}

/// What is promised of tickets whose contract says nothing else.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Service {
    /// Name of a service plan. Default `carrier`; `""`: nothing is promised, tickets have no clocks.
    #[schemars(with = "String")]
    pub(super) plan: Option<Spanned<String>>,
    /// Name of a business calendar, with public holidays. Default: none.
    #[schemars(with = "String")]
    pub(super) calendar: Option<Spanned<String>>,
    /// IANA time zone of sites that name none, `Asia/Shanghai` for instance. Default: the calendar's, else `UTC`.
    #[schemars(with = "String")]
    pub(super) time_zone: Option<Spanned<String>>,
}

/// Evidence bundles that agents upload.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Bundle {
    /// Directory of their files. Default: `bundles` in `collector.data_dir`.
    #[schemars(with = "String")]
    pub(super) dir: Option<Spanned<String>>,
    /// Whether several collectors of one database use this same directory. Default `false`: an upload
    /// stays with the collector that took it.
    #[schemars(with = "bool")]
    pub(super) shared: Option<bool>,
    /// Largest bundle, MiB. Default 256.
    #[schemars(with = "u64", range(min = 1, max = 1_048_576))]
    pub(super) max_mib: Option<Spanned<i64>>,
    /// Room for the bundles of one agent, MiB. Default 1024.
    #[schemars(with = "u64", range(min = 1, max = 1_073_741_824))]
    pub(super) agent_mib: Option<Spanned<i64>>,
    /// Room for all bundles, MiB. Default 20480.
    #[schemars(with = "u64", range(min = 1, max = 1_073_741_824))]
    pub(super) total_mib: Option<Spanned<i64>>,
    /// What stays free on their file system for everything else, MiB. Default 1024.
    #[schemars(with = "u64", range(min = 0, max = 1_073_741_824))]
    pub(super) keep_free_mib: Option<Spanned<i64>>,
    /// Open uploads of one agent. Default 4.
    #[schemars(with = "u32", range(min = 1, max = 1000))]
    pub(super) open_per_agent: Option<Spanned<i64>>,
    /// Uploads that nobody goes on with are let go after so many hours. Default 48.
    #[schemars(with = "u64", range(min = 1, max = 87_600))]
    pub(super) idle_h: Option<Spanned<i64>>,
    /// Bundles are removed after so many days. Default 365.
    #[schemars(with = "u64", range(min = 1, max = 36_500))]
    pub(super) keep_days: Option<Spanned<i64>>,
    /// Bytes a second of one agent; faster ones are slowed down. Default 8388608.
    #[schemars(with = "u64", range(min = 65_536, max = 1_073_741_824))]
    pub(super) max_bytes_per_s: Option<Spanned<i64>>,
}

/// The collector itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Collector {
    /// Its name, part of its certificate: letters, digits, `-`. Default `main`.
    #[schemars(with = "String")]
    pub(super) name: Option<Spanned<String>>,
    /// The support organisation's name, in the certificates of the CA and the offline root.
    #[schemars(with = "String")]
    pub(super) organisation: Option<Spanned<String>>,
    /// Directory of CA, certificates and database. Default `/var/lib/callhome-collector`.
    #[schemars(with = "String")]
    pub(super) data_dir: Option<Spanned<String>>,
    /// Host names and addresses by which agents and people reach it; they are written into the
    /// server certificate. Default `["localhost", "127.0.0.1"]`.
    #[schemars(with = "Vec<String>")]
    pub(super) names: Option<Spanned<Vec<Spanned<String>>>>,
    /// Log filter: a level or directives such as `info,callhome_collector=debug`. Default `info`.
    #[schemars(with = "String")]
    pub(super) log: Option<Spanned<String>>,
    /// JSON lines instead of text. Default `false`.
    #[schemars(with = "bool")]
    pub(super) log_json: Option<bool>,
    /// Plain HTTP for `/healthz`, `/readyz`, `/metrics`. Default `127.0.0.1:9464`; `""` turns it off.
    #[schemars(with = "String")]
    pub(super) health_listen: Option<Spanned<String>>,
}

/// Where the data are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Database {
    /// `sqlite` (the default: one file in `data_dir`) or `postgres://user@host/database`.
    #[schemars(with = "String")]
    pub(super) url: Option<Spanned<String>>,
    /// File whose first line is PostgreSQL's password.
    #[schemars(with = "String")]
    pub(super) password_file: Option<Spanned<String>>,
}

/// Which broker carries the messages.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Mqtt {
    /// `embedded` (the default) or `external`.
    #[schemars(with = "String")]
    pub(super) mode: Option<Spanned<String>>,
    /// Embedded: where it listens. Default `0.0.0.0:8883`.
    #[schemars(with = "String")]
    pub(super) listen: Option<Spanned<String>>,
    /// Embedded: connections at the same time. Default 1000.
    #[schemars(with = "usize")]
    pub(super) max_connections: Option<Spanned<i64>>,
    /// Embedded: of them, from one source address. Default a quarter of them, at least 8.
    #[schemars(with = "usize")]
    pub(super) max_connections_per_source: Option<Spanned<i64>>,
    /// Embedded: new connections a second from one source address. Default 40.
    #[schemars(with = "u32")]
    pub(super) max_connects_per_source: Option<Spanned<i64>>,
    /// Embedded: bytes of payload a second and agent; faster ones are slowed down. Default 1048576.
    #[schemars(with = "u32")]
    pub(super) max_bytes_per_agent: Option<Spanned<i64>>,
    /// Embedded: publishes a second and agent; faster ones are slowed down. Default 200.
    #[schemars(with = "u32")]
    pub(super) max_rate_per_agent: Option<Spanned<i64>>,
    /// The MQTT address that is written into token files, `mqtts://host:port`. Default: the first of
    /// `collector.names` with the port of `listen`, or `address`.
    #[schemars(with = "String")]
    pub(super) public_address: Option<Spanned<String>>,
    /// External: the broker, `mqtts://host:port`.
    #[schemars(with = "String")]
    pub(super) address: Option<Spanned<String>>,
    /// External: who keeps the broker's rights. `none` (the default): you do, in its ACL file.
    /// `dynamic-security`: the collector does, with mosquitto's plugin of that name.
    #[schemars(with = "String")]
    pub(super) provision: Option<Spanned<String>>,
}

/// API, console, enrolment.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Https {
    /// Where it listens. Default `0.0.0.0:8443`.
    #[schemars(with = "String")]
    pub(super) listen: Option<Spanned<String>>,
    /// The address that people and agents use, `https://host:port`. Default: the first of
    /// `collector.names` with the port of `listen`.
    #[schemars(with = "String")]
    pub(super) public_url: Option<Spanned<String>>,
    /// Connections at the same time. Default 1024.
    #[schemars(with = "usize")]
    pub(super) max_connections: Option<Spanned<i64>>,
    /// Of them, from one source address. Default a quarter of them, at least 8.
    #[schemars(with = "usize")]
    pub(super) max_connections_per_source: Option<Spanned<i64>>,
    /// New connections a second from one source address. Default 40.
    #[schemars(with = "u32")]
    pub(super) max_connects_per_source: Option<Spanned<i64>>,
    /// API requests a second of one user. Default 50; ten times as many may come at once.
    #[schemars(with = "u32", range(min = 1, max = 1_000_000))]
    pub(super) max_requests_per_user: Option<Spanned<i64>>,
    /// API requests a second from one source address. Default 400; ten times as many may come at once.
    #[schemars(with = "u32", range(min = 1, max = 1_000_000))]
    pub(super) max_requests_per_source: Option<Spanned<i64>>,
}

/// Lives of certificates, and what comes from a PKI of yours.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Certificates {
    /// How long an agent's certificate lives, seconds. Agents renew it at two thirds. Default 31536000
    /// (a year); at least 30.
    #[schemars(with = "u64", range(min = 30, max = 315_360_000))]
    pub(super) agent_life_s: Option<Spanned<i64>>,
    /// How long the servers' and the collector's own certificates live, seconds. They are renewed at
    /// two thirds. Default 31536000 (a year); at least 30.
    #[schemars(with = "u64", range(min = 30, max = 315_360_000))]
    pub(super) server_life_s: Option<Spanned<i64>>,
    /// How long after its end an agent's certificate may still be renewed (and bring alarms), seconds.
    /// Default 31536000 (a year); 0: not at all.
    #[schemars(with = "u64", range(min = 0, max = 315_360_000))]
    pub(super) expired_grace_s: Option<Spanned<i64>>,
    /// How long an agent's certificate is still let in after a newer one of the same agent was used first,
    /// seconds. Default 86400 (a day); 0: not at all.
    #[schemars(with = "u64", range(min = 0, max = 315_360_000))]
    pub(super) superseded_grace_s: Option<Spanned<i64>>,
    /// PEM file of the servers' certificate chain, if it is given by a PKI of yours. It is read again
    /// when it changes. Default: made with the CA.
    #[schemars(with = "String")]
    pub(super) server_certificate_file: Option<Spanned<String>>,
    /// PEM file of its key.
    #[schemars(with = "String")]
    pub(super) server_key_file: Option<Spanned<String>>,
    /// PEM file of a given revocation list, beside the collector's own. It is read again when it changes.
    #[schemars(with = "String")]
    pub(super) crl_file: Option<Spanned<String>>,
}
