/** How this device shows the pages. The server has applied it already; `<html>` says what it is. */

const { dataset } = globalThis.document?.documentElement ?? { dataset: {} };

/** The IANA name of the zone in which times and days are shown. */
export const TIME_ZONE = dataset.zone ?? "America/New_York";

/** Whether that is the device's own zone. */
export const IS_LOCAL_ZONE = dataset.localZone !== undefined;

/** The zone's short names, by the offset from UTC in minutes. */
export const ZONE_NAMES = JSON.parse(dataset.zoneNames ?? '{"-300":"ET","-240":"ET"}');

/** Whether money and quantities are masked. */
export const HIDES_AMOUNTS = dataset.amounts === "hidden";
