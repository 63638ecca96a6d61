//! The man page and the shell completions, generated from the command line's definition, so that
//! they cannot differ from it.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::options::Cli;

/// The manual in roff: the program, then each command with its options.
pub(super) fn manual() -> Vec<u8> {
    let mut page = Vec::new();
    // Writing into a vector cannot fail.
    let _ = render(&mut page);
    page
}

fn render(page: &mut Vec<u8>) -> io::Result<()> {
    let mut command = Cli::command();
    command.build();
    let program = Man::new(command.clone());
    program.render_title(page)?;
    program.render_name_section(page)?;
    program.render_synopsis_section(page)?;
    program.render_description_section(page)?;
    for subcommand in command.get_subcommands() {
        let part = Man::new(subcommand.clone());
        let heading = format!("RINGWAY {}", subcommand.get_name().to_uppercase());
        Roff::new().control("SH", [heading.as_str()]).to_writer(page)?;
        let about = subcommand.get_about().map_or_else(String::new, ToString::to_string);
        Roff::new().text([roman(format!("{about}."))]).to_writer(page)?;
        if subcommand.get_arguments().next().is_some() {
            part.render_options_section(page)?;
        }
    }
    program.render_extra_section(page)?;
    program.render_version_section(page)
}

/// The completions for `shell`.
pub(super) fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ringway", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::{completions, manual};
    use clap::ValueEnum;
    use clap_complete::Shell;

    #[test]
    fn the_manual_names_every_command_and_the_exit_codes() {
        let page = String::from_utf8(manual()).unwrap();
        for text in
            ["ringway", "RINGWAY SERVE", "RINGWAY DOCTOR", "RINGWAY ANATOMY", "ktls", "Exit codes"]
        {
            assert!(page.contains(text), "{text}");
        }
        assert_eq!(page.matches("\n.TH ").count() + usize::from(page.starts_with(".TH ")), 1);
    }

    #[test]
    fn every_shell_gets_completions() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completions(*shell)).unwrap();
            assert!(script.contains("ktls"), "{shell}");
        }
    }
}
