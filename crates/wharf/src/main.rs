//! `wharf`, also under the names `registry` and `htpasswd`.

fn main() -> std::process::ExitCode {
    wharf::cli::main()
}
