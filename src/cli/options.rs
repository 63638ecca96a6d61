//! The command line. The options of `serve` are made of the settings that the configuration file
//! has too ([`crate::config::file`]); every default stands in [`crate::config`] alone, so that an
//! option that is not given leaves the configuration's value as it is.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{
    Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint,
};
use clap_complete::Shell;
use log::LevelFilter;

use super::anatomy::Target;
use crate::config::{
    AdminAddress, Config, ConfigError, FieldLine,
    file::{
        keys::{Key, Kind, Row},
        quoted,
        settings::{Draft, Section, sections},
    },
    units,
};

/// What is printed after the help of the program and in its man page.
const EXIT_CODES: &str = "\
Exit codes:
  0    done; for a server, drained after SIGTERM or SIGINT
  1    failed while running
  2    the command line or the configuration is wrong
  3    this host lacks something that was asked for, see `ringway doctor`
  130  ended at once by SIGINT during the start, or by a second one
  143  ended at once by SIGTERM during the start, or by a second one";

/// An HTTPS server on io_uring, with kernel TLS where the kernel has it.
#[derive(Debug, Parser)]
#[command(name = "ringway", version, about, after_help = EXIT_CODES, max_term_width = 100)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve a folder over HTTPS
    Serve(Box<Serve>),
    /// Put HTTPS in front of an application server
    Proxy(Box<super::proxy::Proxy>),
    /// Try a configuration file: say all that a start would find wrong
    Check(Check),
    /// Have a running server read its configuration file again, and wait for the outcome
    Reload(Reload),
    /// Print what belongs to configuration files
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
    /// Say what this host offers, what Ringway will do with it, and how to change it
    Doctor(Doctor),
    /// Look at one request as a client: where its time went
    Anatomy(Anatomy),
    /// Watch a running server in the terminal: rates, stages, ends, workers, slowest requests
    Top(Top),
    /// Read a password from standard input and print a line for [auth.NAME]
    HashPassword {
        /// The name of the user
        name: String,
    },
    /// Print the man page
    Man,
    /// Print the completions of a shell
    Completions {
        /// The shell to print for
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
}

/// The options of `ringway check`.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The file
    #[arg(value_name = "FILE", default_value = "/etc/ringway/ringway.toml",
        value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
    /// Exit with 2 for warnings too
    #[arg(long)]
    pub(super) deny_warnings: bool,
}

/// The options of `ringway reload`.
#[derive(Debug, Args)]
#[command(
    after_help = "The file names the control socket of the server in [process]. Exits with 2 if \
    the file is wrong or needs a restart; the server then goes on as before."
)]
pub(super) struct Reload {
    /// The file that the server was started with
    #[arg(value_name = "FILE", default_value = "/etc/ringway/ringway.toml",
        value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print the JSON Schema of configuration files, for editors
    Schema,
    /// Print a commented example
    Example,
    /// Print the reference of all settings, in Markdown
    Reference,
    /// Print the file that means the same as these options of `ringway serve`
    FromOptions(Box<Serve>),
}

/// The options of `ringway anatomy`.
#[derive(Debug, Args)]
#[command(after_help = "Trusted are this host's authorities, what --cacert names, and the \
    certificate that Ringway made for this user. Two connections are made: one with a full \
    handshake, and one that resumes it.")]
pub(super) struct Anatomy {
    /// What to ask for, as https://host:port/path
    #[arg(value_name = "URL", value_hint = ValueHint::Url)]
    pub(super) url: Target,
    /// Certificate or authority to trust besides, in PEM; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) cacert: Vec<PathBuf>,
    /// Go on whatever the certificate is, and say what is wrong with it
    #[arg(long)]
    pub(super) insecure: bool,
    /// Rounds of both connections, at most 1000; of several the medians are shown [default: 1, with
    /// --watch no end]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) repeat: Option<u16>,
    /// Ask again and again, a line for each: our wait, and what of it the server does not explain
    #[arg(long, conflicts_with = "json")]
    pub(super) watch: bool,
    /// With --watch, how long to wait between requests
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::time)]
    pub(super) every: Duration,
    /// Request method
    #[arg(long, value_name = "METHOD", default_value = "GET", ignore_case = true)]
    pub(super) method: Method,
    /// Ask over HTTP/2
    #[arg(long)]
    pub(super) http2: bool,
    /// With --http2, requests at once on each connection, at most 100
    #[arg(short = 'n', long, value_name = "N", default_value = "1", requires = "http2",
        conflicts_with = "watch", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(super) streams: u16,
    /// For each connection, from connecting to the last byte
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::time)]
    pub(super) timeout: Duration,
    /// Print one JSON object instead of a picture
    #[arg(long)]
    pub(super) json: bool,
}

/// The options of `ringway top`.
#[derive(Debug, Args)]
#[command(after_help = "The server has to run with --admin. From elsewhere: \
    ssh -t HOST ringway top.")]
pub(super) struct Top {
    /// The server's --admin address: 127.0.0.1:PORT or unix:/path
    #[arg(value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub(super) admin: AdminAddress,
    /// How often to ask
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::time)]
    pub(super) every: Duration,
    /// The time to show, up to an hour
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = units::time)]
    pub(super) since: Duration,
    /// Print one picture and end; the same if standard output is no terminal
    #[arg(long)]
    pub(super) once: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Method {
    #[value(name = "GET")]
    Get,
    #[value(name = "HEAD")]
    Head,
}

impl Method {
    /// As the request line has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
        }
    }
}

/// The options of `ringway serve`.
#[derive(Debug, Args)]
#[command(after_help = "Sizes: 512, 64KiB, 1MiB, 2GiB. Times: 250ms, 10s, 2m, 1h.")]
pub(super) struct Serve {
    /// The folder to serve [default: .]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "config")]
    root: Option<PathBuf>,

    /// Take all settings from this file instead of options; `ringway check` tries it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,

    /// Least level to log: off, error, warn, info, debug or trace
    #[arg(
        long,
        value_name = "LEVEL",
        env = "RINGWAY_LOG",
        default_value = "info",
        help_heading = "Log"
    )]
    log_level: LevelFilter,

    #[command(flatten)]
    pub(super) settings: Settings,
}

/// The settings that stand on the command line, with their tables and keys in the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// Each with the texts that were given.
    pub(super) given: Vec<Given>,
}

/// A setting that stands on the command line.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// In the file.
    pub(super) table: &'static str,
    /// What it is.
    pub(super) row: Row,
    /// What it was given.
    pub(super) texts: Vec<String>,
}

/// Options that another one has to stand beside.
const REQUIRED: [(&str, &str); 3] =
    [("cert", "key"), ("key", "cert"), ("client-auth", "client-ca")];

/// The settings that concern the server, whatever it does with requests.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerSettings(pub(super) Settings);

/// Implements clap's traits for settings that are those of some sections.
macro_rules! settings_of {
    ($of:ty, $settings:ident => $inner:expr, $wanted:expr) => {
        impl Args for $of {
            fn augment_args(command: clap::Command) -> clap::Command {
                Settings::augment(command, $wanted)
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                Self::augment_args(command)
            }
        }

        impl FromArgMatches for $of {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                let mut settings = Self::default();
                settings.update_from_arg_matches(matches)?;
                Ok(settings)
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                let $settings = self;
                $inner.note(matches, $wanted);
                Ok(())
            }
        }
    };
}

settings_of!(Settings, settings => settings, |_| true);
settings_of!(ServerSettings, settings => settings.0, |section| !section.table.starts_with("site"));

/// An option that sets a key.
fn argument(option: &'static str, heading: &'static str, key: Key<Draft>) -> Arg {
    let row = key.row;
    let help = match row.kind {
        Kind::NoFlag(help) => help.to_owned(),
        Kind::Flag | Kind::Codings | Kind::OneOf(_) => row.doc.to_owned(),
        _ if row.default.is_empty() => row.doc.to_owned(),
        _ => format!("{} [default: {}]", row.doc, row.default),
    };
    let arg = Arg::new(option).long(option).help(help);
    let arg = if heading == "Options" { arg } else { arg.help_heading(heading) };
    let required = REQUIRED.iter().find(|(needs, _)| *needs == option);
    let arg = required.iter().fold(arg, |arg, (_, other)| arg.requires(*other));
    // Tried on settings of its own, so that what is wrong is said about this option.
    let key = Arc::new(key);
    let check = move |text: &str| match key.set(&mut Draft::default(), text) {
        Ok(()) => Ok(text.to_owned()),
        Err(why) => Err(why),
    };
    let (name, repeated) = match row.kind {
        Kind::Flag | Kind::NoFlag(_) | Kind::Codings => return arg.action(ArgAction::SetTrue),
        Kind::OneOf(words) => {
            let shown = if words.contains(&row.default) && row.option != Some("client-auth") {
                arg.default_value(row.default)
            } else {
                arg
            };
            return shown.value_name("WHICH").value_parser(PossibleValuesParser::new(words));
        }
        Kind::Text(name) => (name, false),
        Kind::Texts(name) => (name, true),
        Kind::Path => ("FILE", false),
        Kind::Paths => ("FILE", true),
        Kind::Size => ("SIZE", false),
        Kind::Time => ("TIME", false),
        _ => ("N", false),
    };
    let arg = if repeated { arg.action(ArgAction::Append) } else { arg };
    let is_path = matches!(row.kind, Kind::Path | Kind::Paths);
    let arg = if is_path { arg.value_hint(ValueHint::FilePath) } else { arg };
    arg.value_name(name).value_parser(check)
}

impl Settings {
    /// Adds the options of the sections that are wanted.
    fn augment(command: clap::Command, wanted: fn(&Section) -> bool) -> clap::Command {
        let settings = sections().into_iter().filter(wanted).flat_map(|section| {
            let heading = section.heading;
            section.keys.into_iter().map(move |key| (heading, key))
        });
        settings.fold(command, |command, (heading, key)| match key.row.option {
            Some(option) => command.arg(argument(option, heading, key)),
            None => command,
        })
    }

    /// Takes note of what was given of the sections that are wanted.
    fn note(&mut self, matches: &ArgMatches, wanted: fn(&Section) -> bool) {
        for section in sections().iter().filter(|section| wanted(section)) {
            for key in &section.keys {
                let row = key.row;
                let Some(option) = row.option else { continue };
                if matches.value_source(option) != Some(ValueSource::CommandLine) {
                    continue;
                }
                let texts = match row.kind {
                    Kind::Flag | Kind::Codings => vec!["true".to_owned()],
                    Kind::NoFlag(_) => vec!["false".to_owned()],
                    _ => matches.get_many(option).into_iter().flatten().cloned().collect(),
                };
                self.given.push(Given { table: section.table, row, texts });
            }
        }
    }

    /// The configuration as it is gathered from these.
    ///
    /// # Errors
    /// A value that its setting does not take.
    pub(super) fn draft(&self) -> Result<Draft, ConfigError> {
        let mut draft = Draft::default();
        let sections = sections();
        for Given { table, row, texts } in &self.given {
            let section = sections.iter().find(|section| section.table == *table);
            let keys = section.into_iter().flat_map(|section| &section.keys);
            let keys = keys.filter(|key| key.row.key == row.key);
            for (key, text) in keys.flat_map(|key| texts.iter().map(move |text| (key, text))) {
                key.set(&mut draft, text)
                    .map_err(|why| ConfigError::new(row.option.unwrap_or(row.key), text, why))?;
            }
        }
        Ok(draft)
    }

    /// The file that means the same as these options for a folder.
    pub(super) fn to_file(&self, root: &Path) -> String {
        let mut tables: BTreeMap<&str, String> = BTreeMap::new();
        for Given { table, row, texts } in &self.given {
            let lines = tables.entry(table).or_default();
            if row.option == Some("header") {
                lines.push_str(&to_rules(texts));
                continue;
            }
            let written: Vec<_> = texts.iter().map(|text| to_value(row.kind, text)).collect();
            let value = match (row.kind, written.as_slice()) {
                (Kind::Texts(_) | Kind::Paths, [_, _, ..]) => format!("[{}]", written.join(", ")),
                (_, [.., last]) => last.clone(),
                // An option that was given has a text.
                (_, []) => continue,
            };
            let _ = writeln!(lines, "{} = {value}", row.key);
        }
        let mut file = tables.remove("").unwrap_or_else(String::new);
        let route = tables.remove("site.route").unwrap_or_else(String::new);
        let site = tables.remove("site").unwrap_or_else(String::new);
        for (table, lines) in tables {
            let _ = write!(file, "\n[{table}]\n{lines}");
        }
        let root = quoted(&std::path::absolute(root).unwrap_or(root.into()).to_string_lossy());
        let _ = write!(
            file,
            "\n[[site]]\n{site}\n[[site.route]]\npath = \"/\"\nfiles = {root}\n{route}"
        );
        file.trim_start().to_owned()
    }
}

/// A value as TOML has it. Paths become absolute, since a file's are relative to its folder.
fn to_value(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Number | Kind::Flag | Kind::NoFlag(_) | Kind::Codings => text.to_owned(),
        Kind::Path | Kind::Paths if text != "-" => {
            let path = std::path::absolute(text).unwrap_or(text.into());
            quoted(&path.to_string_lossy())
        }
        _ => quoted(text),
    }
}

/// Field lines as rules that add them.
fn to_rules(lines: &[String]) -> String {
    let mut rules: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines.iter().filter_map(|line| line.parse::<FieldLine>().ok()) {
        rules.entry(quoted(line.name())).or_default().push(quoted(line.value()));
    }
    let rules: Vec<_> =
        rules.iter().map(|(name, values)| format!("{name} = [{}]", values.join(", "))).collect();
    format!("headers = {{ add = {{ {} }} }}\n", rules.join(", "))
}

impl Serve {
    /// The configuration that these options ask for, not yet checked.
    ///
    /// # Errors
    /// Options that do not fit together, so that no configuration can hold them.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        let mut draft = self.settings.draft()?;
        self.root().clone_into(&mut draft.files.root);
        draft.finish()
    }

    /// The folder to serve.
    pub(super) fn root(&self) -> &Path {
        self.root.as_deref().unwrap_or(Path::new("."))
    }

    /// The least level of records to log.
    pub(super) fn log_level(&self) -> LevelFilter {
        self.log_level
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
