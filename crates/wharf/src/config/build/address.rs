//! `host:port` as Go writes it.

/// Host (empty = every address, without brackets) and port of `host:port`, `:port` or `[::1]:port`.
pub(super) fn tcp(text: &str) -> Result<(String, u16), String> {
    let wanted = "write it like :5000, 127.0.0.1:5000 or [::1]:5000";
    let quoted = super::super::read::quoted(text);
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("{quoted} has no port: {wanted}"));
    };
    let port: u16 = match port {
        "http" => 80,
        "https" => 443,
        _ => port
            .parse()
            .map_err(|_| format!("{quoted} has no valid port: {wanted}"))?,
    };
    let host = match host.strip_prefix('[') {
        Some(inside) => inside
            .strip_suffix(']')
            .ok_or_else(|| format!("{quoted} has a bracket that is not closed: {wanted}"))?,
        None if host.contains(':') => return Err(format!("{quoted} is ambiguous: {wanted}")),
        None => host,
    };
    if host
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | '[' | ']' | '@'))
    {
        return Err(format!("{quoted} is not an address: {wanted}"));
    }
    Ok((host.to_owned(), port))
}
