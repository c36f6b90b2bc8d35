//! A protocol as a pure function from request to response.
