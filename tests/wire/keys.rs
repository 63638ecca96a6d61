//! Every key of the configuration has a test that sets it and looks at what that does.

use std::{collections::BTreeMap, fs};

use crate::{configured::Configured, proxy::upstream::Upstream, server::run};

/// A key of the file with its table, and a test of it: the file below `tests/` and the function.
#[rustfmt::skip]
const TESTS: &[(&str, &str)] = &[
    ("listen", "wire/guard/announced::a_setting_holds_for_its_listeners"),
    ("redirect", "wire/plain::the_other_listener_sends_everybody_to_https"),
    ("redirect_port", "wire/plain::redirects_name_the_port_that_clients_reach"),
    ("plain", "wire/plain::files_are_served_without_tls"),
    ("workers", "wire/lifecycle::too_few_descriptors_to_serve_are_refused_with_a_word"),
    ("pin", "wire/lifecycle::a_certificate_is_made_and_kept"),
    ("io", "wire/both::both_answer_any_stream_alike"),
    ("tls", "wire/reload_settings::what_needs_a_restart_is_named"),
    ("log", "wire/reload_settings::what_needs_a_restart_is_named"),
    ("observe", "wire/admin_elsewhere::a_token_is_asked_for"),
    ("process", "wire/site_answers::allowed_ports_are_bounded"),
    ("limits", "wire/reload_settings::bounds_change_for_connections_that_there_are"),
    ("timeouts", "wire/reload_settings::bounds_change_for_connections_that_there_are"),
    ("proxy_protocol", "wire/guard/announced::a_setting_holds_for_its_listeners"),
    ("forwarded", "wire/guard/limited::a_trusted_proxy_names_the_client"),
    ("rate", "wire/guard/limited::a_rate_holds_for_all_routes_that_name_it"),
    ("auth", "wire/guard/passwords::only_users_with_their_passwords_are_served"),
    ("headers", "wire/site_answers::answers_are_presented_as_configured"),
    ("site", "wire/sites::a_host_chooses_the_site_and_a_path_the_route"),
    ("pool", "wire/guard/passwords::only_users_with_their_passwords_are_served"),
    ("auth.realm", "wire/guard/passwords::only_users_with_their_passwords_are_served"),
    ("auth.users", "wire/keys::users_may_stand_in_the_file"),
    ("auth.file", "wire/guard/passwords::only_users_with_their_passwords_are_served"),
    ("forwarded.trusted", "wire/guard/limited::a_trusted_proxy_names_the_client"),
    ("forwarded.field", "wire/guard/limited::the_standard_field_names_the_client_and_others_name_nobody"),
    ("headers.set", "wire/site_answers::answers_are_presented_as_configured"),
    ("headers.add", "wire/sites::field_rules_of_a_route_come_after_those_of_its_site"),
    ("headers.remove", "wire/site_answers::answers_are_presented_as_configured"),
    ("limits.connections", "wire/floods::ten_thousand_idle_connections"),
    ("limits.max_connections", "wire/silent::the_oldest_silent_connection_is_closed_for_a_newcomer"),
    ("limits.max_connections_per_address", "wire/guard/announced::each_announced_client_has_its_connections"),
    ("limits.handshakes", "wire/floods::a_flood_of_silent_connections"),
    ("limits.receive_buffers", "wire/proxy/faults::slow_readers_leave_receive_buffers_to_others"),
    ("limits.receive_buffer_size", "wire/keys::receive_buffers_of_any_size_serve"),
    ("limits.leases_per_connection", "wire/proxy/faults::slow_readers_leave_receive_buffers_to_others"),
    ("limits.send_memory", "wire/scarce::memory_stays_below_its_ceiling"),
    ("limits.max_head", "wire/refusals::heads_are_bounded_as_configured"),
    ("limits.max_fields", "wire/refusals::heads_are_bounded_as_configured"),
    ("limits.max_target", "wire/refusals::heads_are_bounded_as_configured"),
    ("limits.max_body", "wire/framing::bodies_that_are_too_large"),
    ("limits.max_requests", "wire/methods::a_connection_ends_after_its_last_request"),
    ("limits.h2_streams", "h2/streams::one_stream_too_many_is_refused_and_its_block_still_decoded"),
    ("limits.file_cache", "wire/scarce::memory_stays_below_its_ceiling"),
    ("limits.file_cache_max_file", "observe/ledger::the_ledger_is_exact_for_user_space_tls"),
    ("limits.file_cache_entries", "wire/floods::ten_thousand_idle_connections"),
    ("log.format", "wire/start::with_a_log_of_json_the_start_block_is_json"),
    ("observe.admin", "wire/admin_elsewhere::a_token_is_asked_for"),
    ("observe.admin_token", "wire/admin_elsewhere::a_token_is_asked_for"),
    ("observe.admin_client_ca", "wire/admin_elsewhere::a_certificate_is_asked_for"),
    ("observe.access_log", "wire/guard/passwords::a_refusal_is_the_same_before_files_and_before_applications"),
    ("observe.access_log_sample", "wire/keys::the_access_log_has_a_part_of_what_is_fast_and_well"),
    ("observe.access_log_slow", "wire/keys::the_access_log_has_a_part_of_what_is_fast_and_well"),
    ("observe.otlp", "observe/spans::a_slow_request_is_a_part_of_its_callers_trace"),
    ("observe.otlp_slow", "observe/spans::a_slow_request_is_a_part_of_its_callers_trace"),
    ("observe.server_timing", "wire/start::no_field_of_one_value_is_sent_twice"),
    ("observe.anatomy", "wire/reload_settings::what_needs_a_restart_is_named"),
    ("pool.servers", "wire/guard/passwords::a_refusal_is_the_same_before_files_and_before_applications"),
    ("pool.balance", "wire/proxy/secured::a_server_that_fails_its_health_checks_gets_no_requests_until_it_passes"),
    ("pool.max", "wire/admin_elsewhere::a_token_is_asked_for"),
    ("pool.waiting", "wire/proxy/limits::a_full_line_and_a_long_wait_are_503"),
    ("pool.wait", "wire/proxy/closing::close_notify_before_the_answer_is_a_half_close"),
    ("pool.connect", "wire/proxy/namespaces::a_server_that_vanishes_is_given_up_in_time"),
    ("pool.send", "wire/proxy/settings::a_server_that_takes_no_more_of_a_request_is_504"),
    ("pool.first_byte", "wire/proxy/limits::a_server_that_does_not_answer_is_504_and_one_that_is_not_there_502"),
    ("pool.between", "wire/proxy/limits::a_server_that_stalls_within_its_answer_cuts_it"),
    ("pool.keep_idle", "wire/proxy/limits::connections_are_lent_between_workers"),
    ("pool.keep", "wire/proxy/faults::a_server_that_is_stopped_is_left_out"),
    ("pool.exchanges", "wire/proxy/settings::a_connection_serves_so_many_exchanges"),
    ("pool.lifetime", "wire/proxy/settings::a_connection_is_used_for_its_lifetime"),
    ("pool.head_bytes", "wire/proxy/settings::heads_of_responses_are_bounded_as_configured"),
    ("pool.head_fields", "wire/proxy/settings::heads_of_responses_are_bounded_as_configured"),
    ("pool.interim", "wire/proxy/settings::heads_of_responses_are_bounded_as_configured"),
    ("pool.hold_request", "wire/proxy/closing::close_notify_within_content_ends_the_exchange"),
    ("pool.hold_response", "wire/proxy/content::a_slow_client_does_not_keep_its_server"),
    ("pool.tunnels", "wire/proxy/closing::tunnels_have_a_bound_and_leave_their_places"),
    ("pool.tunnel_idle", "wire/proxy/closing::protocols_and_their_silence_are_settings"),
    ("pool.proxy_status", "wire/guard/passwords::a_server_that_fails_behind_credentials_is_named"),
    ("pool.tries", "wire/proxy/connections::a_connection_is_used_again_only_after_an_ordinary_exchange"),
    ("pool.underscores", "wire/proxy/settings::names_with_underscores_pass_if_they_may"),
    ("pool.path_as_sent", "wire/proxy/settings::paths_with_two_meanings_pass_if_they_may"),
    ("pool.resolve_every", "wire/proxy/settings::the_check_compares_times_and_bounds_them"),
    ("pool.ca", "wire/proxy/secured::sessions_are_resumed"),
    ("pool.server_name", "wire/proxy/settings::the_check_compares_times_and_bounds_them"),
    ("pool.in_front", "wire/proxy/settings::the_check_compares_times_and_bounds_them"),
    ("pool.server_idle", "wire/proxy/settings::the_check_compares_times_and_bounds_them"),
    ("pool.send_proxy", "wire/proxy/faults::the_proxy_protocol_names_the_client_on_a_connection_of_its_own"),
    ("pool.health", "wire/proxy/secured::a_server_that_fails_its_health_checks_gets_no_requests_until_it_passes"),
    ("pool.health_interval", "wire/proxy/secured::a_server_that_fails_its_health_checks_gets_no_requests_until_it_passes"),
    ("pool.health_timeout", "wire/proxy/settings::health_checks_are_counted_and_timed_as_configured"),
    ("pool.health_fall", "wire/proxy/settings::health_checks_are_counted_and_timed_as_configured"),
    ("pool.health_rise", "wire/proxy/settings::health_checks_are_counted_and_timed_as_configured"),
    ("pool.host", "wire/proxy/settings::the_host_is_replaced"),
    ("pool.forwarded", "wire/keys::forwarding_fields_of_trusted_peers_are_believed"),
    ("pool.upgrade", "wire/proxy/closing::protocols_and_their_silence_are_settings"),
    ("pool.trusted", "wire/keys::forwarding_fields_of_trusted_peers_are_believed"),
    ("process.user", "wire/privilege::the_drop_is_whole"),
    ("process.landlock", "wire/deploy::a_folder_that_takes_the_place_of_another_is_served_unless_landlock_denies_it"),
    ("process.core_dumps", "wire/privilege::dumps_and_debuggers_are_let_in_when_asked_for"),
    ("process.control", "wire/reload_file::reloads_under_load_fail_no_request"),
    ("process.allow_read", "wire/reload_file::sites_and_certificates_come_and_go"),
    ("process.allow_bind", "wire/reload_settings::addresses_come_and_go_and_connections_stay"),
    ("process.allow_connect", "wire/reload_settings::pools_change_and_requests_on_their_way_end_where_they_began"),
    ("proxy_protocol.listen", "wire/guard/announced::a_setting_holds_for_its_listeners"),
    ("proxy_protocol.trusted", "wire/guard/announced::a_setting_holds_for_its_listeners"),
    ("rate.key", "wire/guard/limited::a_field_may_be_the_key"),
    ("rate.requests", "wire/guard/limited::a_rate_holds_for_all_routes_that_name_it"),
    ("rate.per", "wire/guard/limited::a_rate_holds_for_all_routes_that_name_it"),
    ("rate.burst", "wire/guard/limited::a_burst_comes_at_once_and_the_table_has_its_entries"),
    ("rate.entries", "wire/guard/limited::a_burst_comes_at_once_and_the_table_has_its_entries"),
    ("site.names", "wire/sites::a_host_chooses_the_site_and_a_path_the_route"),
    ("site.certificate", "wire/reload_file::sites_and_certificates_come_and_go"),
    ("site.client_ca", "wire/site_clients::a_site_is_reached_by_its_own_demand_alone"),
    ("site.client_auth", "wire/site_clients::a_site_is_reached_by_its_own_demand_alone"),
    ("site.headers", "wire/site_answers::answers_are_presented_as_configured"),
    ("site.compress", "wire/compressed/files::a_site_and_its_routes_say_what_is_compressed"),
    ("site.errors", "wire/site_answers::errors_have_texts_of_the_file_itself"),
    ("site.route", "wire/sites::a_host_chooses_the_site_and_a_path_the_route"),
    ("site.route.path", "wire/site_answers::answers_are_presented_as_configured"),
    ("site.route.exact", "wire/sites::a_host_chooses_the_site_and_a_path_the_route"),
    ("site.route.files", "wire/site_answers::answers_are_presented_as_configured"),
    ("site.route.respond", "wire/site_answers::answers_are_presented_as_configured"),
    ("site.route.status", "wire/site_answers::errors_have_texts_of_the_file_itself"),
    ("site.route.type", "wire/site_answers::answers_are_presented_as_configured"),
    ("site.route.ready", "wire/site_answers::a_server_that_is_told_to_stop_serves_on_and_is_not_ready"),
    ("site.route.proxy", "wire/guard/passwords::only_users_with_their_passwords_are_served"),
    ("site.route.rate", "wire/guard/limited::a_rate_holds_for_all_routes_that_name_it"),
    ("site.route.auth", "wire/guard/passwords::a_refusal_is_the_same_before_files_and_before_applications"),
    ("site.route.cache_control", "wire/site_answers::files_are_cached_by_path_and_by_type"),
    ("site.route.headers", "wire/site_answers::answers_are_presented_as_configured"),
    ("site.route.compress", "wire/compressed/files::a_site_and_its_routes_say_what_is_compressed"),
    ("site.route.errors", "wire/site_answers::errors_have_texts_of_the_file_itself"),
    ("site.route.spa", "wire/paths::single_page_applications"),
    ("site.route.listing", "wire/sites::a_host_chooses_the_site_and_a_path_the_route"),
    ("site.route.follow_links", "wire/paths::links_inside_are_followed_unless_the_operator_says_no"),
    ("site.route.index", "wire/site_answers::answers_are_presented_as_configured"),
    ("site.route.etags", "wire/site_answers::entity_tags_are_equal_where_files_are_if_that_is_wanted"),
    ("site.route.redirect", "wire/sites::redirects_hold_what_was_asked_and_nothing_else"),
    ("timeouts.handshake", "wire/abuse::a_handshake_that_does_not_come"),
    ("timeouts.head", "wire/abuse::a_head_that_does_not_come"),
    ("timeouts.idle", "wire/abuse::a_request_that_does_not_come"),
    ("timeouts.body", "wire/abuse::a_body_that_does_not_come"),
    ("timeouts.body_min_rate", "wire/abuse::a_body_that_trickles"),
    ("timeouts.process", "wire/hung::a_disk_that_does_not_answer_costs_a_503_and_nothing_else"),
    ("timeouts.response", "wire/abuse::a_reader_that_does_not_read"),
    ("timeouts.response_min_rate", "wire/abuse::a_reader_below_the_minimum_rate"),
    ("timeouts.close", "wire/floods::an_upload_that_is_too_large_reads_its_refusal"),
    ("timeouts.drain_delay", "wire/site_answers::a_server_that_is_told_to_stop_serves_on_and_is_not_ready"),
    ("timeouts.drain", "wire/hostile::resets_while_the_server_drains"),
    ("timeouts.stream_idle", "apps/two_ways::a_two_way_stream_that_is_silent_for_too_long_is_reset"),
    ("timeouts.tunnel_idle", "apps/tunnels::a_tunnel_that_is_silent_for_too_long_is_closed"),
    ("tls.cert", "wire/certificates::the_name_chooses_the_certificate"),
    ("tls.key", "wire/certificates::the_name_chooses_the_certificate"),
    ("tls.client_ca", "wire/clients_certificates::a_certificate_is_required_and_checked"),
    ("tls.client_auth", "wire/clients_certificates::an_optional_certificate_is_checked_if_it_is_shown"),
    ("tls.ticket_keys", "wire/renewal::renewal_works_after_the_drop_and_within_landlock"),
    ("tls.ktls", "wire/clients_certificates::a_certificate_is_required_and_checked"),
    ("tls.min", "wire/tls::the_oldest_version_can_be_raised"),
    ("tls.http2", "wire/tls::application_protocols"),
];

/// All keys with their tables, each with its option of `ringway serve` if it has one, by the reference that
/// the declarations yield.
fn keys() -> BTreeMap<String, Option<String>> {
    let output = run(&["config", "reference"]);
    let mut keys = BTreeMap::new();
    let mut table = String::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        if let Some(title) = line.strip_prefix("### ") {
            let name = title.trim_matches(|c| "`[]".contains(c)).replace(".NAME", "");
            table = if title.starts_with('`') { name + "." } else { String::new() };
        }
        let Some(row) = line.strip_prefix("| `") else { continue };
        let (key, rest) = row.split_once('`').unwrap();
        let option = rest.rsplit_once(" (`--").map(|(_, option)| option);
        let option = option.and_then(|option| option.split('`').next()).map(str::to_owned);
        keys.insert(format!("{table}{key}"), option);
    }
    keys
}

/// Whether a test's source sets a key: in a file, as an option, or by the library.
fn sets(source: &str, key: &str, option: Option<&str>) -> bool {
    let (table, key) = key.rsplit_once('.').unwrap_or(("", key));
    let source = source.replace("\\n", "\n");
    let is_word = |at: usize| {
        source[..at]
            .chars()
            .next_back()
            .is_none_or(|c| !c.is_ascii_alphanumeric() && !"_-".contains(c))
    };
    let assigned = |word: &str| {
        source.match_indices(word).any(|(at, _)| {
            let behind = source[at + word.len()..].trim_start();
            is_word(at) && behind.starts_with('=') && !behind.starts_with("==")
        })
    };
    let names_table = table.is_empty() || table == "site";
    let headed = names_table
        && ["]", ".", "]]"].iter().any(|end| {
            let dot = if table.is_empty() { String::new() } else { format!("{table}.") };
            source.contains(&format!("[{dot}{key}{end}"))
        });
    // Those of `ringway proxy` are called by the key, some with another word behind it.
    let of_pool = table == "pool" && source.contains(&format!("--{}", key.replace('_', "-")));
    let given = option.is_some_and(|option| source.contains(&format!("--{option}")));
    assigned(key) || headed || of_pool || given
}

#[test]
fn every_key_of_the_configuration_has_a_test() {
    let keys = keys();
    assert!(keys.len() > 140, "{}", keys.len());
    let tests: BTreeMap<_, _> = TESTS.iter().copied().collect();
    assert_eq!(tests.len(), TESTS.len(), "a key stands there twice");
    let mut wrong = Vec::new();
    for (key, option) in &keys {
        let Some(test) = tests.get(key.as_str()) else {
            wrong.push(format!("{key} has no test: write one, and enter it in TESTS"));
            continue;
        };
        let (file, function) = test.split_once("::").unwrap();
        let path = format!("{}/tests/{file}.rs", env!("CARGO_MANIFEST_DIR"));
        let source = fs::read_to_string(&path).unwrap_or_default();
        if !source.contains(&format!("#[test]\nfn {function}()")) {
            wrong.push(format!("{key}: there is no test {test}"));
        } else if file != "wire/keys" && !sets(&source, key, option.as_deref()) {
            wrong.push(format!("{key}: {file} does not set it"));
        }
    }
    let unknown = tests.keys().filter(|key| !keys.contains_key(**key));
    wrong.extend(unknown.map(|key| format!("there is no key {key}")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn receive_buffers_of_any_size_serve() {
    for size in ["4KiB", "128KiB"] {
        let text = format!(
            "[limits]\nreceive_buffer_size = '{size}'\nreceive_buffers = 64\n[[site]]\n\
             [[site.route]]\nproxy = 'app'\n[pool.app]\nservers = "
        );
        let upstream = Upstream::start(|request, stream| {
            use std::io::Write as _;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&request.body);
            crate::proxy::upstream::Then::Continue
        });
        let server = Configured::start(&format!("{text}'{}'\n", upstream.address), |_| {});
        let mut client = server.connect();
        let content: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
        let head =
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", content.len());
        client.send(head.as_bytes());
        client.send(&content);
        let answer = client.response("POST");
        assert!(answer.status == 200 && answer.body == content, "{size}");
        // A record of TLS is larger than the smallest buffer, and so may be a line of the client's.
        let long = format!("X: {}\r\n", "a".repeat(10_000));
        assert_eq!(client.request("GET", "/", &long).status, 200, "{size}");
    }
}

#[test]
fn the_access_log_has_a_part_of_what_is_fast_and_well() {
    for (settings, most) in [
        ("access_log_sample = 1000000\naccess_log_slow = '1h'", 1),
        ("access_log_sample = 1000000\naccess_log_slow = '1ms'", 20),
        ("access_log_sample = 1\naccess_log_slow = '1h'", 20),
    ] {
        let text = format!(
            "[observe]\naccess_log = 'access.log'\n{settings}\n[[site]]\n[[site.route]]\nrespond = 'x'\n\
             [[site.route]]\npath = '/bad'\nstatus = 503\n"
        );
        let server = Configured::start(&text, |_| {});
        let mut client = server.connect();
        for _ in 0..20 {
            assert_eq!(client.get("/well").status, 200);
        }
        assert_eq!(client.get("/bad").status, 503);
        let log =
            || fs::read_to_string(server.folder.path().join("access.log")).unwrap_or_default();
        let deadline = std::time::Instant::now() + crate::server::PATIENCE;
        // Lines come in order: what is logged of the others is there by then.
        while !log().contains("GET /bad") {
            assert!(std::time::Instant::now() < deadline, "{}", log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let well = log().matches("GET /well").count();
        assert!(well <= most, "{settings}: {well}");
        assert!(well == 20 || !settings.starts_with("access_log_sample = 1\n"), "{well}");
    }
}

#[test]
fn users_may_stand_in_the_file() {
    let line = {
        let mut child = std::process::Command::new(crate::server::PROGRAM)
            .args(["hash-password", "alice"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"secret\n").unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    let text = format!(
        "[auth.own]\nusers = ['{}']\n[[site]]\n[[site.route]]\nrespond = 'in'\nauth = 'own'\n",
        line.trim()
    );
    let server = Configured::start(&text, |_| {});
    let mut client = server.connect();
    assert_eq!(
        client.get("/").need("WWW-Authenticate"),
        "Basic realm=\"restricted\", charset=\"UTF-8\""
    );
    // alice:secret
    let right = "Authorization: Basic YWxpY2U6c2VjcmV0\r\n";
    assert_eq!(client.request("GET", "/", right).text(), "in");
}

#[test]
fn forwarding_fields_of_trusted_peers_are_believed() {
    for (settings, expected) in [
        ("", "X-Forwarded-For: 127.0.0.1"),
        ("trusted = '127.0.0.0/8'", "X-Forwarded-For: 192.0.2.1, 127.0.0.1"),
        ("forwarded = 'forwarded'", "Forwarded: for=127.0.0.1"),
    ] {
        let upstream = Upstream::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let text = format!(
            "[[site]]\n[[site.route]]\nproxy = 'app'\n[pool.app]\nservers = '{}'\n{settings}\n",
            upstream.address
        );
        let server = Configured::start(&text, |_| {});
        let answer = server.connect().request("GET", "/", "X-Forwarded-For: 192.0.2.1\r\n");
        assert_eq!(answer.status, 200);
        let head = upstream.requests()[0].head.to_ascii_lowercase();
        assert!(head.contains(&expected.to_ascii_lowercase()), "{settings}: {head}");
    }
}
