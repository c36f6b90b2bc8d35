//! Other systems' payloads to the model.
