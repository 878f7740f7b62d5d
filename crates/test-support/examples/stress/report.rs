//! Lines that the journeys count.

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    failed: bool,
}

impl Report {
    /// Prints one finding: `problems` say what is wrong.
    pub fn check(&mut self, name: &str, problems: &[String]) {
        if problems.is_empty() {
            println!("ok - {name}");
            return;
        }
        self.failed = true;
        println!("not ok - {name}: {} are not right", problems.len());
        for problem in problems.iter().take(10) {
            println!("    {}", problem.chars().take(700).collect::<String>());
        }
    }

    pub const fn has_failed(&self) -> bool {
        self.failed
    }
}
