import * as raw from "#glue";

/** The version of this package. */
export const version = (): string => raw.version();

/** The time in whole microseconds of the monotonic clock that a call without `now` reads. */
export const now = (): number => Math.floor(performance.now() * 1000);

/** The time of a call. @internal */
export const at = (given: number | undefined): number => (given === undefined ? now() : given);
