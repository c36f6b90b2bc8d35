import * as raw from "#glue";

/** The version of this package. */
export const version = (): string => raw.version();
