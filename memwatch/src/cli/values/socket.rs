//! Sockets of container runtimes.

use std::path::PathBuf;

use crate::enrich::cri::Sockets;

/// A socket, or the word for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CriSocket {
    /// Nobody is asked.
    None,
    /// There.
    At(PathBuf),
}

/// Parses a path from the root, with or without the `unix://` that other tools write in front of it, or `none`.
///
/// # Errors
/// When the text is neither.
pub fn parse_cri_socket(text: &str) -> Result<CriSocket, String> {
    if text == "none" {
        return Ok(CriSocket::None);
    }
    let path = text.strip_prefix("unix://").unwrap_or(text);
    if !path.starts_with('/') {
        return Err(format!(
            "`{text}` is no path from the root; write for example /run/containerd/containerd.sock, or none"
        ));
    }
    Ok(CriSocket::At(path.into()))
}

impl CriSocket {
    /// What all that was written means.
    pub(in crate::cli) fn all(written: &[Self]) -> Sockets {
        if written.is_empty() {
            return Sockets::Usual;
        }
        let paths = written.iter().filter_map(|socket| match socket {
            Self::None => None,
            Self::At(path) => Some(path.clone()),
        });
        Sockets::At(paths.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_paths_or_none() {
        let at = |path: &str| Ok(CriSocket::At(path.into()));
        assert_eq!(parse_cri_socket("/run/crio/crio.sock"), at("/run/crio/crio.sock"));
        assert_eq!(parse_cri_socket("unix:///run/crio/crio.sock"), at("/run/crio/crio.sock"));
        assert_eq!(parse_cri_socket("none"), Ok(CriSocket::None));
        assert!(parse_cri_socket("crio.sock").is_err() && parse_cri_socket("").is_err());
        assert_eq!(CriSocket::all(&[]), Sockets::Usual);
        assert_eq!(CriSocket::all(&[CriSocket::None]), Sockets::At(Vec::new()));
    }
}
