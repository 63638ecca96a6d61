//! The ways of content to the wire, by name.

/// A way of content to the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Route {
    /// User-space TLS, content in memory: a cached file, or what an application or an upstream server sent.
    UserCache,
    /// User-space TLS, file read.
    UserRead,
    /// User-space TLS, generated body.
    UserPage,
    /// The same with kernel TLS.
    KernelCache,
    /// Kernel TLS, file from the page cache.
    KernelSendfile,
    /// Kernel TLS, file read.
    KernelRead,
    /// Kernel TLS, generated body.
    KernelPage,
    /// No TLS, whatever the content, unless a server of a pool made it.
    Plain,
    /// User-space TLS, from a server of a pool.
    UserProxied,
    /// Kernel TLS, from a server of a pool.
    KernelProxied,
    /// No TLS, from a server of a pool.
    PlainProxied,
}

impl Route {
    /// How many there are.
    pub const COUNT: usize = 11;

    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::UserCache,
        Self::UserRead,
        Self::UserPage,
        Self::KernelCache,
        Self::KernelSendfile,
        Self::KernelRead,
        Self::KernelPage,
        Self::Plain,
        Self::UserProxied,
        Self::KernelProxied,
        Self::PlainProxied,
    ];

    /// Who seals: `user`, `kernel`, or `no` where nobody does.
    pub fn tls(self) -> &'static str {
        match self {
            Self::Plain | Self::PlainProxied => "no",
            _ if self.is_kernel() => "kernel",
            _ => "user",
        }
    }

    /// Whether the kernel seals.
    pub fn is_kernel(self) -> bool {
        matches!(
            self,
            Self::KernelCache
                | Self::KernelSendfile
                | Self::KernelRead
                | Self::KernelPage
                | Self::KernelProxied
        )
    }

    /// Where the content comes from.
    pub fn body(self) -> &'static str {
        match self {
            Self::UserCache | Self::KernelCache => "cache",
            Self::KernelSendfile => "sendfile",
            Self::UserRead | Self::KernelRead => "read",
            Self::UserPage | Self::KernelPage => "generated",
            Self::Plain => "any",
            Self::UserProxied | Self::KernelProxied | Self::PlainProxied => "proxied",
        }
    }

    /// Both, as reports and logs spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::UserCache => "user_tls/cache",
            Self::UserRead => "user_tls/read",
            Self::UserPage => "user_tls/generated",
            Self::KernelCache => "kernel_tls/cache",
            Self::KernelSendfile => "kernel_tls/sendfile",
            Self::KernelRead => "kernel_tls/read",
            Self::KernelPage => "kernel_tls/generated",
            Self::Plain => "no_tls/any",
            Self::UserProxied => "user_tls/proxied",
            Self::KernelProxied => "kernel_tls/proxied",
            Self::PlainProxied => "no_tls/proxied",
        }
    }

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::UserCache => "user-space TLS, content in memory",
            Self::UserRead => "user-space TLS, file read",
            Self::UserPage => "user-space TLS, generated body",
            Self::KernelCache => "kernel TLS, content in memory",
            Self::KernelSendfile => "kernel TLS, file from the page cache",
            Self::KernelRead => "kernel TLS, file read",
            Self::KernelPage => "kernel TLS, generated body",
            Self::Plain => "no TLS",
            Self::UserProxied => "user-space TLS, from a server",
            Self::KernelProxied => "kernel TLS, from a server",
            Self::PlainProxied => "no TLS, from a server",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_way_stands_at_its_place_under_a_name_of_its_own() {
        for (place, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, place);
            assert_eq!(route.name(), format!("{}_tls/{}", route.tls(), route.body()));
        }
        let names: BTreeSet<_> = Route::ALL.map(Route::name).into_iter().collect();
        assert_eq!(names.len(), Route::COUNT);
    }
}
