export { AuditPage } from "./audit";
export { DevicePage } from "./device";
export { GrantsPage } from "./grants";
export { MembersPage } from "./members";
export { SetUp } from "./set-up";
export { TeamsPage } from "./teams";
export { YouPage } from "./you";
