//! SNI, Host and certificates of clients: whatever name a handshake had, a request reaches a site by the site's
//! demand alone, as a model of a few lines has it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::internals::conn::sites_hold;

fuzz_target!(|bytes: &[u8]| sites_hold::a_site_is_reached_by_its_demand_alone(bytes));
