//! The process around the services: settings, listeners, health, reflection, shutdown.
