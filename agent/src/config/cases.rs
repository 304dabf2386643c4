[
    // Syntax: nothing else is looked at.
    ("[agent\nx = ", vec!["1:7 unclosed table, expected `]`"]),
    // Shape: all of them at once.
    ("[agent]\nlogg = \"x\"\nlog_json = 1\n[colector]\n", vec!["2:1 agent.logg: unknown key [did you mean \"log\"?]", "3:12 agent.log_json: expected true or false, found a whole number", "4:2 colector: unknown key [did you mean \"collector\"?]"]),
    ("[heartbeat]\ninterval_s = 0\n[collector]\nkeep_alive_s = 4\nack_timeout_s = 1.5\n", vec!["2:14 heartbeat.interval_s: expected 1 to 3600, found 0", "4:16 collector.keep_alive_s: expected 5 to 600, found 4", "5:17 collector.ack_timeout_s: expected a whole number, found a number with a fraction"]),
    ("[[device]]\nserial = \"1\"\n", vec!["1:1 device[1].name: missing [Unique name; sources name their device by it.]"]),
    ("[[snmp]]\nname = \"s\"\ndevice = \"d\"\naddress = \"a\"\nversion = \"2\"\n", vec!["5:11 snmp[1].version: expected one of \"2c\", \"3\", found \"2\" [did you mean \"2c\"?]"]),
    // Meaning.
    ("[agent]\nstate_dir = \"x\"\nhealth_listen = \"9465\"\nlog = \"callhome=loud\"\n", vec!["2:13 agent.state_dir: expected an absolute path, found \"x\"", "3:17 agent.health_listen: expected an IP address and port such as 127.0.0.1:9465, or \"\", found \"9465\"", "4:8 agent.log: error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5"]),
    ("[collector]\nmqtt = \"mqtt://c:1883\"\n", vec!["2:8 collector.mqtt: expected mqtts://host:port, found \"mqtt://c:1883\""]),
    ("[collector]\nmqtt = \"mqtts://[::1]:8883\"\n", vec!["accepted"]),
    ("[collector]\nmqtt = \"wss://c\"\n[[collector.road]]\nurl = \"mqtts://c\"\n", vec!["2:8 collector.mqtt: expected mqtts://host:port, found \"wss://c\" [[[collector.road]] takes it as url]", "4:7 collector.road: not together with collector.mqtt: make it a road, too"]),
    ("[[collector.road]]\nurl = \"ws://c\"\n[[collector.road]]\nurl = \"https://c/x\"\n[[collector.road]]\nurl = \"wss://c\"\n[[collector.road]]\nurl = \"wss://c:443/mqtt\"\n", vec!["2:7 collector.road[1].url: expected TLS: mqtts://, wss:// or https://, found \"ws://c\"", "4:7 collector.road[2].url: expected nothing behind host:port, found \"https://c/x\"", "8:7 collector.road[4].url: is road 1 already"]),
    ("[collector]\nproxy_user = \"u\"\n[[collector.road]]\nproxy = \"http://u:secret@p:1\"\nproxy_user = \"a:b\"\nproxy_password_file = \"/nowhere\"\nurl = \"mqtts://c\"\n", vec!["2:14 collector.proxy_user: only together with collector.proxy", "4:9 collector.road[1].proxy: expected no user in the URL: proxy_user and proxy_password_file are for that, found \"p:1\"", "5:14 collector.road[1].proxy_user: expected a name without ':' (RFC 7617)", "6:23 collector.road[1].proxy_password_file: \"/nowhere\" cannot be read: entity not found"]),
    ("[collector]\nproxy = \"p\"\nproxy_user = \"u\"\ntries = 0\n", vec!["4:9 collector.tries: expected 1 to 100, found 0"]),
    ("[collector]\nproxy = \"p\"\nproxy_user = \"u\"\n", vec!["2:9 collector.proxy: expected http://host:port, found \"p\"", "3:14 collector.proxy_user: needs collector.proxy_password_file"]),
    ("[outbox]\nmax_mib = 2\n", vec!["accepted"]),
    ("[outbox]\nmax_mib = 2\npreallocate_mib = 3\n", vec!["3:19 outbox.preallocate_mib: expected at most outbox.max_mib (2), found 3"]),
    ("DEVICE;[[device]]\nname = \"d\"\n[[device]]\nname = \"e\"\nserial = \"d\"\n", vec!["4:8 device[2]: \"d\" is taken by device \"d\" already", "7:10 device[3]: \"d\" is taken by device \"d\" already"]),
    ("[[device]]\nname = \"array-1\"\n[[logfile]]\nname = \"l\"\ndevice = \"aray-1\"\npath = \"/x\"\n[host]\ndevice = \"zz\"\nname = \"l\"\n", vec!["5:10 logfile[1].device: there is no device \"aray-1\" [did you mean \"array-1\"?]", "8:10 host.device: there is no device \"zz\" [known: array-1; or add [[device]] with name = \"zz\"]", "9:8 host.name: \"l\" is taken by another source already"]),
    ("DEVICE;[[logfile]]\nname = \"l\"\ndevice = \"d\"\npath = \"/x\"\npattern = [\n\
      {id = \"a\", match = \"x(\", type = \"t\", severity = \"major\"},\n\
      {id = \"b\", match = \"(?P<psu>.)\", type = \"t t\", severity = \"majr\"},\n]\n", vec!["9:59 logfile[1].pattern[2].severity: expected one of \"critical\", \"major\", \"minor\", \"warning\", \"indeterminate\", found \"majr\" [did you mean \"major\"?]"]),
    ("DEVICE;[[logfile]]\nname = \"l\"\ndevice = \"d\"\npath = \"/x\"\npattern = [\n\
      {id = \"a\", match = \"x(\", type = \"t\", severity = \"major\"},\n\
      {id = \"a\", match = \"(?P<psu>.)\", type = \"t\", severity = \"major\", resource = \"${ps}\", text = \"${2}\"},\n\
      {id = \"b c\", match = \"(?P<psu>.)\", clear = \"ok\", type = \"t\", severity = \"major\", resource = \"${psu} ${device}\"},\n]\n", vec!["8:20 logfile[1].pattern[1].match: no regular expression: unclosed group", "9:77 logfile[1].pattern[2].resource: ${ps} is no group of `match` [did you mean \"psu\"?]", "9:93 logfile[1].pattern[2].text: ${2} is no group of `match` [groups of `match`: psu]", "10:7 logfile[1].pattern[3].id: expected 1 to 64 letters, digits, '-', '_' or '.', found \"b c\"", "10:93 logfile[1].pattern[3].resource: ${psu} is no group of `clear` [`clear` has no named group: write (?P<psu>…) in it]"]),
    ("DEVICE;[[snmp]]\nname = \"s\"\ndevice = \"d\"\naddress = \"a b\"\nversion = \"2c\"\n", vec!["6:11 snmp[1].address: expected host:port such as 192.0.2.1:161, found \"a b\"", "7:11 snmp[1]: version = \"2c\" needs community_file"]),
    ("DEVICE;[[snmp]]\nname = \"s\"\ndevice = \"d\"\naddress = \"a\"\nversion = \"2c\"\ncommunity_file = \"/nowhere\"\n", vec!["8:18 snmp[1].community_file: \"/nowhere\" cannot be read: entity not found"]),
    ("DEVICE;[[snmp]]\nname = \"s\"\ndevice = \"d\"\naddress = \"a\"\nversion = \"2c\"\ncommunity_file = \"beside\"\n", vec!["accepted"]),
    ("DEVICE;[[snmp]]\nname = \"s\"\ndevice = \"d\"\naddress = \"a\"\nversion = \"3\"\ncommunity = \"c\"\n", vec!["7:11 snmp[1]: version = \"3\" needs a table [snmp.v3]", "8:13 snmp[1].community: only with version = \"2c\""]),
    ("DEVICE;[[snmp]]\nname = \"s\"\ndevice = \"d\"\naddress = \"a\"\nversion = \"3\"\n[snmp.v3]\nuser = \"u\"\nauth = \"sha256\"\nauth_password_file = \"/short\"\npriv = \"aes128\"\n", vec!["11:22 snmp[1].v3.auth_password_file: expected a password of at least 8 bytes (RFC 3414)", "12:8 snmp[1].v3.priv: needs priv_password_file"]),
    ("DEVICE;[[serial]]\nname = \"s\"\ndevice = \"d\"\nport = \"ttyS0\"\n[[serial.command]]\nid = \"a\"\nsend = \"\"\nevery_s = 0x10\nuntil = \"[\"\n", vec!["6:8 serial[1].port: expected an absolute path, found \"ttyS0\"", "9:8 serial[1].command[1].send: expected a text to send", "11:9 serial[1].command[1].until: no regular expression: unclosed character class"]),
    ("DEVICE;[host]\ndevice = \"d\"\ndisk_warning_pct = 96\nmemory_warning_pct = 50\nmemory_critical_pct = 40.5\n", vec!["5:20 host.disk_critical_pct: expected more than the warning at 96, found 95", "7:23 host.memory_critical_pct: expected more than the warning at 50, found 40.5"]),
]
