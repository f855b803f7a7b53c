export { AuditPage } from "./audit";
export { GrantsPage } from "./grants";
export { MembersPage } from "./members";
export { SetUp } from "./set-up";
export { YouPage } from "./you";
