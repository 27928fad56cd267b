//! Protection against other sites, strangers and forged requests, and the audit log.

mod audit_log;
mod cross_site;
mod cross_site_required;
mod random_input;
mod request_smuggling;
mod response_headers;
mod secrets_in_logs;
mod timing;
mod trusted_proxies;
