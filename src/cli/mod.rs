//! The command line: one file per subcommand. Knows the client and settings; never the engine.
